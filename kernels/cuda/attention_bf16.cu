// A span of a job over bf16 pages on tensor cores: one warp, which keeps its 16 queries in shared memory and their sums
// in registers. The pages' tiles are the fragments' own layout (K: pairs of dimensions of a position; V: pairs of
// positions of a dimension), so they are loaded from memory as they are. Bound by memory in decode; in prefill the same
// tiles come from the caches.
//
// Order of sums: scores in ascending dimension, values in ascending position, 16 at a time; tiles in ascending order.
#include "kernels/cuda/attention_jobs.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/mma.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

constexpr int columns_per_product = 8, k_per_product = 16;
constexpr int score_tiles = block_tokens / columns_per_product, value_steps = block_tokens / k_per_product;

/// Lane l has rows g = l / 4 and g + 8 of the queries, and columns 2 q and 2 q + 1, q = l % 4, of each product.
template <int most_tiles>
struct AttendBf16Kernel {
  static constexpr char const* name = "attend_spans_bf16";
  static constexpr int threads = 32;
  AttentionWork work;

  /// What a lane holds of its two rows.
  struct Sums {
    float o[most_tiles][4];
    float m[2], l[2];
  };
  struct Probabilities {
    std::uint32_t words[value_steps][4];
    Rescaling by[2];
  };

  /// Words of a row of queries in shared memory: a margin, so that the rows lie in unlike banks.
  WINDLASS_DEVICE int q_stride() const { return work.kv.shape.head_dim / 2 + 4; }

  WINDLASS_DEVICE void load_queries(Thread const& thread, AttentionWork::Job const& job) const {
    int const pairs = work.kv.shape.head_dim / 2;
    for (int e = thread.lane(); e < job_queries * pairs; e += 32) {
      Query const query = work.query(job, e / pairs);
      int const dim = e % pairs * 2;
      thread.shared<std::uint32_t>()[e / pairs * q_stride() + e % pairs] =
          bf16_pair(work.query_value(query, dim), work.query_value(query, dim + 1));
    }
    thread.sync();
  }

  WINDLASS_DEVICE void score(Thread const& thread, std::uint32_t const* k, float (&scores)[score_tiles][4]) const {
    int const g = thread.lane() / 4, q = thread.lane() % 4;
#pragma unroll
    for (int tile = 0; tile < score_tiles; ++tile)
      for (int i = 0; i < 4; ++i) scores[tile][i] = 0;
    for (int step = 0; step < work.kv.shape.head_dim / k_per_product; ++step) {
      std::uint32_t const* const rows = thread.shared<std::uint32_t>() + g * q_stride() + step * 8 + q;
      std::uint32_t const left[4] = {rows[0], rows[8 * q_stride()], rows[4], rows[8 * q_stride() + 4]};
      std::uint32_t const* const keys = k + (step * 8 + q) * block_tokens + g;
#pragma unroll
      for (int tile = 0; tile < score_tiles; ++tile) {
        std::uint32_t const right[2] = {keys[tile * columns_per_product],
                                        keys[4 * block_tokens + tile * columns_per_product]};
        multiply_bf16(thread, scores[tile], left, right);
      }
    }
  }

  /// From scores to probabilities relative to the tile's own maximum; the sums' m and l take the tile's.
  WINDLASS_DEVICE Probabilities soften(Thread const& thread, Query const (&queries)[2], int first_position,
                                       float (&scores)[score_tiles][4], Sums& sums) const {
    float largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
#pragma unroll
    for (int tile = 0; tile < score_tiles; ++tile)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        int const position = first_position + tile * columns_per_product + thread.lane() % 4 * 2 + i % 2;
        Query const& query = queries[i / 2];
        bool const is_seen = query.first <= position && position <= query.last;
        scores[tile][i] = is_seen ? work.exponent(scores[tile][i]) : -INFINITY;
        largest[i / 2] = largest_of(largest[i / 2], scores[tile][i]);
      }
#pragma unroll
    for (int row = 0; row < 2; ++row)
      for (int mask = 1; mask <= 2; mask *= 2)
        largest[row] = largest_of(largest[row], thread.shuffle_xor(largest[row], mask));
#pragma unroll
    for (int tile = 0; tile < score_tiles; ++tile)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float const exponent = scores[tile][i];
        scores[tile][i] = exponent == -INFINITY ? 0 : power_of_two(exponent - largest[i / 2]);
        total[i / 2] += scores[tile][i];
      }
    Probabilities result;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      for (int mask = 1; mask <= 2; mask *= 2) total[row] += thread.shuffle_xor(total[row], mask);
      result.by[row] = rescale(sums.m[row], largest[row]);
      sums.l[row] = fmaf(total[row], result.by[row].take, sums.l[row] * result.by[row].keep);
    }
#pragma unroll
    for (int step = 0; step < value_steps; ++step)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float const(&pair)[4] = scores[step * 2 + i / 2];
        result.words[step][i] = bf16_pair(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
      }
    return result;
  }

  WINDLASS_DEVICE void add_values(Thread const& thread, std::uint32_t const* v, Probabilities const& probabilities,
                                  Sums& sums) const {
    int const g = thread.lane() / 4, q = thread.lane() % 4, head_dim = work.kv.shape.head_dim;
#pragma unroll
    for (int tile = 0; tile < most_tiles; ++tile) {
      if (tile * columns_per_product >= head_dim) break;
      float o[4] = {0, 0, 0, 0};
      std::uint32_t const* const values = v + q * head_dim + tile * columns_per_product + g;
#pragma unroll
      for (int step = 0; step < value_steps; ++step) {
        std::uint32_t const right[2] = {values[step * 8 * head_dim], values[(step * 8 + 4) * head_dim]};
        multiply_bf16(thread, o, probabilities.words[step], right);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        Rescaling const& by = probabilities.by[i / 2];
        sums.o[tile][i] = fmaf(o[i], by.take, sums.o[tile][i] * by.keep);
      }
    }
  }

  WINDLASS_DEVICE void finish(Thread const& thread, Sums const& sums, float* to) const {
    int const g = thread.lane() / 4, q = thread.lane() % 4, head_dim = work.kv.shape.head_dim;
#pragma unroll
    for (int tile = 0; tile < most_tiles; ++tile) {
      if (tile * columns_per_product >= head_dim) break;
#pragma unroll
      for (int i = 0; i < 4; ++i)
        to[(g + i / 2 * 8) * head_dim + tile * columns_per_product + q * 2 + i % 2] = sums.o[tile][i];
    }
    if (q != 0) return;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      to[job_queries * head_dim + g + row * 8] = sums.m[row];
      to[job_queries * (head_dim + 1) + g + row * 8] = sums.l[row];
    }
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    KvShape const& shape = work.kv.shape;
    AttentionWork::Job const job = work.job(thread.block());
    int latest = job_queries - 1;
    while (work.query(job, latest).last < 0) --latest;
    BlockRange const blocks = blocks_of_span(work.query(job, 0), work.query(job, latest), thread.part());
    if (blocks.begin >= blocks.end) return;  // the whole warp
    load_queries(thread, job);
    Query const queries[2] = {work.query(job, thread.lane() / 4), work.query(job, thread.lane() / 4 + 8)};
    Sums sums;
#pragma unroll
    for (int tile = 0; tile < most_tiles; ++tile)
      for (int i = 0; i < 4; ++i) sums.o[tile][i] = 0;
    for (int row = 0; row < 2; ++row) sums.m[row] = -INFINITY, sums.l[row] = 0;
    for (int block = blocks.begin; block < blocks.end; ++block) {
      std::byte const* const page = work.page(job, block);
      float scores[score_tiles][4];
      score(thread, reinterpret_cast<std::uint32_t const*>(page + shape.k_offset(work.kv.layer, job.kv_head)), scores);
      Probabilities const probabilities = soften(thread, queries, block * block_tokens, scores, sums);
      add_values(thread, reinterpret_cast<std::uint32_t const*>(page + shape.v_offset(work.kv.layer, job.kv_head)),
                 probabilities, sums);
    }
    finish(thread, sums, work.partial(thread.block(), thread.part()));
  }
};

template <int most_tiles>
void launch_spans(AttentionWork const& work, int jobs, Queue const& queue) {
  using Kernel = AttendBf16Kernel<most_tiles>;
  std::size_t const q_words = std::size_t(job_queries) * std::size_t(work.kv.shape.head_dim / 2 + 4);
  launch(Kernel{work}, {.blocks = jobs, .parts = work.spans, .threads = Kernel::threads, .shared_bytes = q_words * 4},
         queue);
}

}  // namespace

void attend_spans_on_tensor_cores(AttentionWork const& work, int jobs, Queue const& queue) {
  if (work.kv.shape.head_dim <= 64) return launch_spans<8>(work, jobs, queue);
  if (work.kv.shape.head_dim <= 128) return launch_spans<16>(work, jobs, queue);
  launch_spans<32>(work, jobs, queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
