// A span of a job, for pages of any format and heads of any size: a thread block keeps its queries and their sums in
// shared memory. In a product with K a thread is a position, in one with V a dimension. Bound by the fused
// multiply-adds; bf16 pages have attention_bf16.cu.
#include "kernels/cuda/attention_jobs.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/kv_tile.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

template <class Value>
struct AttendKernel {
  static constexpr char const* name = "attend_spans";
  static constexpr int threads = 128, queries_per_warp = job_queries / (threads / 32);
  AttentionWork work;

  static WINDLASS_DEVICE float element(std::uint16_t bits) { return bf16_to_float(bits); }
  static WINDLASS_DEVICE float element(float value) { return value; }

  /// The thread block's memory.
  struct Shared {
    float *q, *o;                // [16, head_dim]
    float* scores;               // [16, 64]
    float *m, *l, *keep, *take;  // [16]
    WINDLASS_DEVICE Shared(float* at, int head_dim)
        : q(at),
          o(q + job_queries * head_dim),
          scores(o + job_queries * head_dim),
          m(scores + job_queries * block_tokens),
          l(m + job_queries),
          keep(l + job_queries),
          take(keep + job_queries) {}
  };
  static constexpr std::size_t shared_bytes(int head_dim) {
    return std::size_t(job_queries) * std::size_t(2 * head_dim + block_tokens + 4) * sizeof(float);
  }

  WINDLASS_DEVICE void begin(Thread const& thread, AttentionWork::Job const& job, Shared const& shared) const {
    int const head_dim = work.kv.shape.head_dim;
    for (int e = thread.index(); e < job_queries * head_dim; e += threads) {
      shared.q[e] = work.query_value(work.query(job, e / head_dim), e % head_dim);
      shared.o[e] = 0;
    }
    if (thread.index() >= job_queries) return;
    shared.m[thread.index()] = -INFINITY;
    shared.l[thread.index()] = 0;
  }

  /// scores = q . k in ascending dimension, as exponents of 2.
  WINDLASS_DEVICE void score(Thread const& thread, Value const* k, Shared const& shared) const {
    KvShape const& shape = work.kv.shape;
    int const position = thread.index() % block_tokens, first = thread.index() / block_tokens;
    constexpr int apart = threads / block_tokens;
    float sums[job_queries / apart] = {};
    for (int dim = 0; dim < shape.head_dim; ++dim) {
      float const key = element(k[k_element(shape, position, dim)]);
      for (int i = 0; i < job_queries / apart; ++i)
        sums[i] = fmaf(shared.q[(first + i * apart) * shape.head_dim + dim], key, sums[i]);
    }
    for (int i = 0; i < job_queries / apart; ++i)
      shared.scores[(first + i * apart) * block_tokens + position] = work.exponent(sums[i]);
  }

  /// Scores become probabilities relative to the tile's own maximum, 0 where they are not seen; the sums' m and l
  /// take the tile's.
  WINDLASS_DEVICE void soften(Thread const& thread, AttentionWork::Job const& job, int block,
                              Shared const& shared) const {
    for (int i = thread.warp() * queries_per_warp; i < (thread.warp() + 1) * queries_per_warp; ++i) {
      Query const query = work.query(job, i);
      float exponents[2];
      for (int half = 0; half < 2; ++half) {
        int const at = thread.lane() + half * 32, position = block * block_tokens + at;
        bool const is_seen = query.first <= position && position <= query.last;
        exponents[half] = is_seen ? shared.scores[i * block_tokens + at] : -INFINITY;
      }
      float const largest = largest_of_warp(thread, largest_of(exponents[0], exponents[1]));
      float sum = 0;
      for (int half = 0; half < 2; ++half) {
        float const probability = exponents[half] == -INFINITY ? 0 : power_of_two(exponents[half] - largest);
        sum += probability;
        shared.scores[i * block_tokens + thread.lane() + half * 32] =
            sizeof(Value) == 2 ? bf16_to_float(float_to_bf16(probability)) : probability;
      }
      sum = sum_of_warp(thread, sum);
      if (thread.lane() != 0) continue;
      Rescaling const by = rescale(shared.m[i], largest);
      shared.l[i] = fmaf(sum, by.take, shared.l[i] * by.keep);
      shared.keep[i] = by.keep;
      shared.take[i] = by.take;
    }
  }

  WINDLASS_DEVICE void add_values(Thread const& thread, Value const* v, Shared const& shared) const {
    KvShape const& shape = work.kv.shape;
    for (int dim = thread.index(); dim < shape.head_dim; dim += threads) {
      float tile[job_queries] = {};
      for (int position = 0; position < block_tokens; ++position) {
        float const value = element(v[v_element(shape, position, dim)]);
        for (int i = 0; i < job_queries; ++i)
          tile[i] = fmaf(shared.scores[i * block_tokens + position], value, tile[i]);
      }
      for (int i = 0; i < job_queries; ++i) {
        float& o = shared.o[i * shape.head_dim + dim];
        o = fmaf(tile[i], shared.take[i], o * shared.keep[i]);
      }
    }
  }

  WINDLASS_DEVICE void finish(Thread const& thread, Shared const& shared, float* to) const {
    int const head_dim = work.kv.shape.head_dim;
    for (int e = thread.index(); e < job_queries * head_dim; e += threads) to[e] = shared.o[e];
    if (thread.index() >= job_queries) return;
    to[job_queries * head_dim + thread.index()] = shared.m[thread.index()];
    to[job_queries * (head_dim + 1) + thread.index()] = shared.l[thread.index()];
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    KvShape const& shape = work.kv.shape;
    AttentionWork::Job const job = work.job(thread.block());
    int latest = job_queries - 1;
    while (work.query(job, latest).last < 0) --latest;
    BlockRange const blocks = blocks_of_span(work.query(job, 0), work.query(job, latest), thread.part());
    if (blocks.begin >= blocks.end) return;  // the whole thread block
    Shared const shared(thread.shared<float>(), shape.head_dim);
    begin(thread, job, shared);
    for (int block = blocks.begin; block < blocks.end; ++block) {
      std::byte const* const page = work.page(job, block);
      thread.sync();
      score(thread, reinterpret_cast<Value const*>(page + shape.k_offset(work.kv.layer, job.kv_head)), shared);
      thread.sync();
      soften(thread, job, block, shared);
      thread.sync();
      add_values(thread, reinterpret_cast<Value const*>(page + shape.v_offset(work.kv.layer, job.kv_head)), shared);
    }
    thread.sync();
    finish(thread, shared, work.partial(thread.block(), thread.part()));
  }
};

template <class Value>
void launch_spans(AttentionWork const& work, int jobs, Queue const& queue) {
  using Kernel = AttendKernel<Value>;
  launch(Kernel{work},
         {.blocks = jobs,
          .parts = work.spans,
          .threads = Kernel::threads,
          .shared_bytes = Kernel::shared_bytes(work.kv.shape.head_dim)},
         queue);
}

}  // namespace

void attend_spans(AttentionWork const& work, int jobs, Queue const& queue) {
  work.kv.shape.format == KvFormat::bf16 ? launch_spans<std::uint16_t>(work, jobs, queue)
                                         : launch_spans<float>(work, jobs, queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
