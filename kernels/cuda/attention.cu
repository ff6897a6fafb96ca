// Attention: the cutting into jobs, and the merge of a job's spans. A thread merges one dimension of one query, its
// waiting partials in shared memory. Bound by memory, and little beside the spans themselves.
#include <algorithm>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/cuda/attention_jobs.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/table.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct Partial {
  float o, m, l;
};

/// Adds `from`, the later one, to `into`.
WINDLASS_DEVICE void merge(Partial& into, Partial const& from) {
  if (from.m == -INFINITY) return;
  Rescaling const by = rescale(into.m, from.m);
  into.o = fmaf(from.o, by.take, into.o * by.keep);
  into.l = fmaf(from.l, by.take, into.l * by.keep);
}

struct MergeSpansKernel {
  static constexpr char const* name = "merge_spans";
  static constexpr int threads = 128;
  AttentionWork work;

  WINDLASS_DEVICE Partial leaf(int of_launch, Query const& query, int span, int i, int dim) const {
    if (span < query.first_span()) return {0, -INFINITY, 0};
    int const head_dim = work.kv.shape.head_dim;
    float const* const at = work.partial(of_launch, span);
    return {at[i * head_dim + dim], at[job_queries * head_dim + i], at[job_queries * (head_dim + 1) + i]};
  }

  /// The tree of kernels/slices.hpp over the spans from 0.
  WINDLASS_DEVICE Partial merged(Query const& query, int of_launch, int i, int dim, Partial* waiting) const {
    int const spans = query.last_span() + 1;
    int depth = 0;
    Partial sum{};
    for (int span = 0; span < spans; ++span) {
      if (span > 0) waiting[threads * depth++] = sum;
      sum = leaf(of_launch, query, span, i, dim);
      for (int merges = merges_after(span, spans); merges > 0; --merges) {
        Partial before = waiting[threads * --depth];
        merge(before, sum);
        sum = before;
      }
    }
    return sum;
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const head_dim = work.kv.shape.head_dim;
    AttentionWork::Job const job = work.job(thread.block());
    Partial* const waiting = thread.shared<Partial>() + thread.index();  // [levels], `threads` apart
    for (int e = thread.index(); e < job_queries * head_dim; e += threads) {
      int const i = e / head_dim, dim = e % head_dim;
      Query const query = work.query(job, i);
      if (query.first > query.last) continue;
      Partial const sum = merged(query, thread.block(), i, dim, waiting);
      work.out[query.row * work.out_stride + query.head * head_dim + dim] = sum.o / sum.l;
    }
  }
};

/// The lists of a call, and how many jobs and spans there are.
struct Lists {
  std::vector<SequencePart> sequences;
  std::vector<std::uint32_t> pages;
  int tiles = 0, spans = 0;

  explicit Lists(PagedAttention const& op) {
    int const heads_per_kv = op.heads / op.kv.shape.kv_heads;
    for (SequenceRows const& sequence : op.sequences) {
      if (sequence.rows == 0) continue;
      sequences.push_back({sequence.first_row, sequence.rows, sequence.first_position, int(pages.size()), tiles});
      int const last = sequence.first_position + sequence.rows - 1;
      pages.insert(pages.end(), sequence.pages, sequence.pages + last / block_tokens + 1);
      tiles += int(parts_of(std::int64_t(sequence.rows) * heads_per_kv, job_queries));
      spans = std::max(spans, last / attention_span + 1);
    }
  }
};

}  // namespace

void paged_attention(PagedAttention const& op, Queue const& queue) {
  Lists const lists(op);
  if (lists.sequences.empty()) return;
  KvShape const& shape = op.kv.shape;
  AttentionWork work{.out = op.out,
                     .q = op.q,
                     .out_stride = op.out_stride,
                     .q_stride = op.q_stride,
                     .kv = op.kv,
                     .heads = op.heads,
                     .window = op.window,
                     .scale = op.scale,
                     .soft_cap = op.soft_cap,
                     .sequences = upload(std::span<SequencePart const>(lists.sequences)),
                     .pages = upload(std::span<std::uint32_t const>(lists.pages)),
                     .sequence_count = int(lists.sequences.size()),
                     .first_job = 0,
                     .spans = lists.spans,
                     .partials = reinterpret_cast<float*>(op.workspace.data())};
  std::size_t const job_bytes = std::size_t(partial_floats(shape.head_dim)) * sizeof(float) * std::size_t(lists.spans);
  int const most_jobs = int(std::min<std::size_t>(op.workspace.size() / job_bytes, 1 << 20));
  ensure(most_jobs > 0, "attention: the workspace holds no job's partials");
  int const jobs = lists.tiles * shape.kv_heads;
  std::size_t const waiting = std::size_t(std::bit_width(unsigned(lists.spans))) * MergeSpansKernel::threads;
  for (; work.first_job < jobs; work.first_job += most_jobs) {
    int const count = std::min(most_jobs, jobs - work.first_job);
    fits_tensor_cores(shape) ? attend_spans_on_tensor_cores(work, count, queue) : attend_spans(work, count, queue);
    launch(MergeSpansKernel{work},
           {.blocks = count, .threads = MergeSpansKernel::threads, .shared_bytes = waiting * sizeof(Partial)}, queue);
  }
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
