/// How attention is cut into work: a job is up to 16 queries (row, head) of one KV head of one sequence; each of its
/// spans of 1,024 positions is computed apart, by whoever, into a partial; then the partials are merged in their tree.
#pragma once

#include "kernels/attention.hpp"
#include "kernels/cuda/math.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {

constexpr int job_queries = 16;  ///< rows of a tensor core's product

/// A sequence's rows and where its pages and query tiles start in the lists.
struct SequencePart {
  int first_row, rows, first_position, first_page, first_tile;
};

/// Floats of a partial: o [16, head_dim], m [16], l [16].
constexpr std::int64_t partial_floats(int head_dim) { return std::int64_t(job_queries) * (head_dim + 2); }

/// One query of a job.
struct Query {
  std::int64_t row;
  int head;
  int first, last;  ///< positions that it sees; first > last: there is no such query

  WINDLASS_DEVICE int first_span() const { return first / attention_span; }
  WINDLASS_DEVICE int last_span() const { return last / attention_span; }
};

struct AttentionWork {
  float* out;
  float const* q;
  std::int64_t out_stride, q_stride;
  KvView kv;
  int heads, window;
  float scale, soft_cap;
  SequencePart const* sequences;
  std::uint32_t const* pages;
  int sequence_count;
  int first_job, spans;  ///< of this launch
  float* partials;       ///< [jobs, spans, partial_floats]

  /// Where a job's queries are.
  struct Job {
    SequencePart sequence;
    int first_query, kv_head;
  };
  WINDLASS_DEVICE Job job(int of_launch) const {
    int const job = first_job + of_launch, tile = job / kv.shape.kv_heads;
    int low = 0, high = sequence_count - 1;  // the last sequence whose first tile is not behind
    while (low < high) {
      int const middle = (low + high + 1) / 2;
      if (sequences[middle].first_tile <= tile)
        low = middle;
      else
        high = middle - 1;
    }
    return {sequences[low], (tile - sequences[low].first_tile) * job_queries, job % kv.shape.kv_heads};
  }

  /// Query i of a job; rows first, heads within.
  WINDLASS_DEVICE Query query(Job const& job, int i) const {
    int const heads_per_kv = heads / kv.shape.kv_heads;
    int const row = (job.first_query + i) / heads_per_kv;
    if (row >= job.sequence.rows) return {0, 0, 0, -1};
    int const position = job.sequence.first_position + row;
    int const first = window > 0 && position >= window ? position - window + 1 : 0;
    return {job.sequence.first_row + row, job.kv_head * heads_per_kv + (job.first_query + i) % heads_per_kv, first,
            position};
  }

  /// Value `dim` of a query, scaled and rounded to the page format.
  WINDLASS_DEVICE float query_value(Query const& query, int dim) const {
    if (query.first > query.last) return 0;
    float const factor = soft_cap > 0 ? scale : scale * log2_e;
    float const value = q[query.row * q_stride + query.head * kv.shape.head_dim + dim] * factor;
    return kv.shape.format == KvFormat::bf16 ? bf16_to_float(float_to_bf16(value)) : value;
  }
  /// A product of query and key as an exponent of 2.
  WINDLASS_DEVICE float exponent(float product) const {
    return soft_cap > 0 ? soft_cap * hyperbolic_tangent(product / soft_cap) * log2_e : product;
  }

  WINDLASS_DEVICE std::byte const* page(Job const& job, int block) const {
    return kv.base + pages[job.sequence.first_page + block] * kv.shape.page_bytes();
  }
  WINDLASS_DEVICE float* partial(int of_launch, int span) const {
    return partials + (std::int64_t(of_launch) * spans + span) * partial_floats(kv.shape.head_dim);
  }
};

/// Blocks [begin, end) of a span that the queries of a job see; empty where the span is none of theirs.
struct BlockRange {
  int begin, end;
};
WINDLASS_DEVICE BlockRange blocks_of_span(Query const& earliest, Query const& latest, int span) {
  int const first = earliest.first / block_tokens, last = latest.last / block_tokens;
  int const begin = span * tiles_per_span > first ? span * tiles_per_span : first;
  int const end = (span + 1) * tiles_per_span < last + 1 ? (span + 1) * tiles_per_span : last + 1;
  return {begin, end};
}

/// How a sum (keep) and what is added to it (take) are scaled to the larger maximum, which becomes the sum's.
struct Rescaling {
  float keep, take;
};
/// An empty `m` changes nothing, an empty `sum_m` is replaced, both exactly.
WINDLASS_DEVICE Rescaling rescale(float& sum_m, float m) {
  if (m == -INFINITY) return {1, 0};
  float const largest = largest_of(sum_m, m);
  Rescaling const by{power_of_two(sum_m - largest), power_of_two(m - largest)};
  sum_m = largest;
  return by;
}

void attend_spans(AttentionWork const& work, int jobs, Queue const& queue);  ///< any head_dim and format
void attend_spans_on_tensor_cores(AttentionWork const& work, int jobs, Queue const& queue);
/// bf16 pages; whole products of 16 dimensions.
constexpr bool fits_tensor_cores(KvShape const& shape) {
  return shape.format == KvFormat::bf16 && shape.head_dim % 16 == 0 && shape.head_dim <= 256;
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
