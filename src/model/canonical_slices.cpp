#include "src/model/canonical_slices.hpp"

#include <algorithm>

namespace windlass {
namespace {

constexpr int wanted_slices = 8, most_slices = 16;

int groups_of(int columns) { return (columns + group_size - 1) / group_size; }

/// The largest divisor of `number` that is at most `limit`.
int divisor_up_to(int number, int limit) {
  for (int divisor = std::min(number, limit); divisor > 1; --divisor)
    if (number % divisor == 0) return divisor;
  return 1;
}

/// Into how many parts one KV head's query heads are cut, so that all KV heads together give the wanted slices.
int parts_of_kv_head(ModelSpec const& spec) {
  int const heads_per_kv = spec.heads / spec.kv_heads;
  int best = 1;
  int const most_parts = std::min(heads_per_kv, max_slices / spec.kv_heads);
  for (int parts = 1; parts <= most_parts && best * spec.kv_heads < wanted_slices; ++parts)
    if (heads_per_kv % parts == 0 && heads_per_kv / parts * spec.head_dim % group_size == 0) best = parts;
  return best;
}

}  // namespace

Slices attention_output_slices(ModelSpec const& spec) {
  int const columns = spec.heads * spec.head_dim;
  if (spec.heads / spec.kv_heads * spec.head_dim % group_size != 0) return Slices::whole(groups_of(columns));
  if (spec.kv_heads >= wanted_slices)
    return Slices::even(groups_of(columns), divisor_up_to(spec.kv_heads, most_slices));
  return Slices::even(groups_of(columns), spec.kv_heads * parts_of_kv_head(spec));
}

Slices feed_forward_slices(int width) {
  int const groups = groups_of(width);
  return Slices::even(groups, std::min(wanted_slices, groups));
}

}  // namespace windlass
