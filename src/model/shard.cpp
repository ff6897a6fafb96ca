#include "src/model/shard.hpp"

#include <algorithm>

#include "kernels/packed_matrix.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/canonical_slices.hpp"

namespace windlass {
namespace {

constexpr int most_degree = 64;

/// Of `count` things in a row, those of one rank.
IndexRange even_part(int count, TensorParallel place) {
  return {.begin = int(std::int64_t(count) * place.rank / place.degree),
          .end = int(std::int64_t(count) * (place.rank + 1) / place.degree)};
}

IndexRange layers_of(ModelSpec const& spec, PipelinePlace pipeline) {
  ensure(pipeline.stage >= 0 && pipeline.stage < pipeline.stages, "a stage lies outside of its instance");
  int const layers = int(spec.layers.size());
  if (pipeline.stages > layers)
    throw InputError(text("pipeline-parallel degree ", pipeline.stages, " is not possible for this model of ", layers,
                          " layers: each stage holds one or more; use one of: 1 to ", layers));
  return even_part(layers, {.degree = pipeline.stages, .rank = pipeline.stage});
}

/// Into how many equal runs of heads attention can be cut, so that every rank may get whole runs: whole slices, and
/// whole KV heads unless there are more ranks than those.
int attention_units(ModelSpec const& spec, int degree) {
  int const slices = attention_output_slices(spec).count;
  if (slices <= spec.kv_heads) return slices;
  if (degree <= spec.kv_heads) return spec.kv_heads;
  return degree % spec.kv_heads == 0 && slices % degree == 0 ? degree : 0;
}

int vocab_panels(ModelSpec const& spec) { return (spec.vocab + panel_rows - 1) / panel_rows; }

bool is_possible(ModelSpec const& spec, int degree) {
  if (degree == 1) return true;
  for (int const width : {spec.ffn, spec.shared_expert_ffn})
    if (width > 0 && feed_forward_slices(width).count < degree) return false;
  return attention_units(spec, degree) >= degree && vocab_panels(spec) >= degree;
}

}  // namespace

std::vector<int> possible_degrees(ModelSpec const& spec) {
  std::vector<int> degrees;
  for (int degree = 1; degree <= most_degree; ++degree)
    if (is_possible(spec, degree)) degrees.push_back(degree);
  return degrees;
}

Shard shard_of(ModelSpec const& spec, TensorParallel place, PipelinePlace pipeline) {
  ensure(place.rank >= 0 && place.rank < place.degree, "a rank lies outside of its group");
  IndexRange const layers = layers_of(spec, pipeline);
  if (!is_possible(spec, place.degree)) {
    std::string possible;
    for (int const degree : possible_degrees(spec)) possible += text(possible.empty() ? "" : ", ", degree);
    throw InputError(text("tensor-parallel degree ", place.degree, " is not possible for this model (", spec.heads,
                          " heads, ", spec.kv_heads, " KV heads of ", spec.head_dim,
                          ", whose products are summed in fixed slices); use one of: ", possible));
  }
  if (place.degree == 1)
    return {.place = place,
            .pipeline = pipeline,
            .layers = layers,
            .heads = {0, spec.heads},
            .kv_heads = {0, spec.kv_heads},
            .output_slices = {0, attention_output_slices(spec).count},
            .vocab = {0, spec.vocab},
            .experts = {0, spec.experts}};
  int const count = attention_units(spec, place.degree), slices = attention_output_slices(spec).count;
  IndexRange const units = even_part(count, place), panels = even_part(vocab_panels(spec), place);
  return {.place = place,
          .pipeline = pipeline,
          .layers = layers,
          .heads = {units.begin * spec.heads / count, units.end * spec.heads / count},
          .kv_heads = {units.begin * spec.kv_heads / count, (units.end * spec.kv_heads + count - 1) / count},
          .output_slices = {units.begin * slices / count, units.end * slices / count},
          .vocab = {panels.begin * panel_rows, std::min(panels.end * panel_rows, spec.vocab)},
          .experts = even_part(spec.experts, place)};
}

SliceRange feed_forward_slices_of(int width, TensorParallel place) {
  IndexRange const slices = even_part(feed_forward_slices(width).count, place);
  return {slices.begin, slices.end};
}

IndexRange feed_forward_columns_of(int width, TensorParallel place) {
  Slices const slices = feed_forward_slices(width);
  SliceRange const own = feed_forward_slices_of(width, place);
  auto const column = [&](int slice) { return std::min(width, slices.borders[std::size_t(slice)] * group_size); };
  return {column(own.begin), column(own.end)};
}

}  // namespace windlass
