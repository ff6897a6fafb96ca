// Paged attention. A task is a block of rows (tokens x the heads that share one KV head) against all tiles they see,
// or, where there are few rows, against one span of them. K and V tiles stay in the first-level cache while groups of 6
// rows pass by in registers. Prefill is bound by multiply-adds and exponentials, decode by reading K and V once.
#include "kernels/attention.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/slices.hpp"
#include "kernels/x86/attention_tile.hpp"
#include "kernels/x86/level_operations.hpp"

namespace windlass::x86::WINDLASS_LEVEL {
namespace {

constexpr int max_span_levels = 12;  ///< partial results alive in the tree of spans: 2^11 spans are 2M positions

/// Rows first .. first + count - 1 of (sequence, kv head), counted token by token, within a token head by head.
struct RowBlock {
  SequenceRows const* sequence;
  int kv_head, first, count;
};

int group_heads(PagedAttention const& op) { return op.heads / op.kv.shape.kv_heads; }
int flat_rows(PagedAttention const& op, SequenceRows const& sequence) { return sequence.rows * group_heads(op); }
int blocks_of(PagedAttention const& op, SequenceRows const& sequence) {
  return (flat_rows(op, sequence) + block_rows - 1) / block_rows;
}

/// The task-th block, in the order (sequence, block from the last one, kv head): long rows first, so that threads end
/// together.
RowBlock find_block(PagedAttention const& op, std::int64_t task) {
  int const kv_heads = op.kv.shape.kv_heads;
  for (SequenceRows const& sequence : op.sequences) {
    int const blocks = blocks_of(op, sequence);
    if (task < std::int64_t(blocks) * kv_heads) {
      int const first = (blocks - 1 - int(task / kv_heads)) * block_rows;
      return {&sequence, int(task % kv_heads), first, std::min(block_rows, flat_rows(op, sequence) - first)};
    }
    task -= std::int64_t(blocks) * kv_heads;
  }
  __builtin_unreachable();
}

int last_position(PagedAttention const& op, RowBlock const& block) {
  return block.sequence->first_position + (block.first + block.count - 1) / group_heads(op);
}
int first_seen(PagedAttention const& op, RowBlock const& block) {
  if (op.window == 0) return 0;
  return std::max(0, block.sequence->first_position + block.first / group_heads(op) - op.window + 1);
}

float const* q_row(PagedAttention const& op, RowBlock const& block, int r) {
  int const flat = block.first + r, group = group_heads(op);
  std::int64_t const row = block.sequence->first_row + flat / group;
  return op.q + row * op.q_stride + std::int64_t(block.kv_head * group + flat % group) * op.kv.shape.head_dim;
}

void prepare(PagedAttention const& op, RowBlock const& block, Queries& queries) {
  int const d = op.kv.shape.head_dim;
  queries.rows = block.count;
  queries.head_dim = d;
  queries.soft_cap = op.soft_cap;
  Floats const factor = broadcast(op.soft_cap > 0 ? op.scale : op.scale * log2_of_e);
  for (int r = 0; r < block.count; ++r) {
    int const position = block.sequence->first_position + (block.first + r) / group_heads(op);
    queries.end[r] = position + 1;
    queries.begin[r] = op.window > 0 ? std::max(0, position - op.window + 1) : 0;
    float const* const q = q_row(op, block, r);
    for (int i = 0; i < d; i += lanes) {
      Floats const scaled = mul(load_first(q + i, d - i), factor);
      if (op.kv.shape.format == KvFormat::bf16)
        store_bf16_first(queries.bf16() + r * d + i, scaled, d - i);
      else
        store_first(queries.f32() + r * d + i, scaled, d - i);
    }
  }
}

/// Tiles [first, end) of the block into `partial`, which starts empty.
void attend(PagedAttention const& op, RowBlock const& block, Queries const& queries, int first_tile, int end_tile,
            Partial& partial) {
  KvShape const& shape = op.kv.shape;
  partial.clear(block.count, whole_lanes(shape.head_dim));
  auto const place = [&](int tile, int kv_head) {
    return op.kv.base + std::size_t(block.sequence->pages[tile]) * shape.page_bytes() +
           shape.k_offset(op.kv.layer, kv_head);
  };
  std::size_t const to_v = shape.v_offset(0, 0) - shape.k_offset(0, 0);
  int const next_head = std::min(block.kv_head + 1, shape.kv_heads - 1);  // most likely this thread's next block
  int const tiles = last_position(op, block) / block_tokens + 1;
  for (int tile = first_tile; tile < end_tile; ++tile) {
    std::byte const* const k = place(tile, block.kv_head);
    std::byte const* const next =
        tile + 1 < tiles ? place(tile + 1, block.kv_head) : place(first_seen(op, block) / block_tokens, next_head);
    KvTile const kv{k, k + to_v, next, next + to_v, tile * block_tokens};
    if (shape.format == KvFormat::bf16)
      attend_tile<KvFormat::bf16>(queries, kv, partial);
    else
      attend_tile<KvFormat::f32>(queries, kv, partial);
  }
}

void write_out(PagedAttention const& op, RowBlock const& block, Partial const& partial) {
  int const d = op.kv.shape.head_dim;
  for (int r = 0; r < block.count; ++r) {
    float* const out = op.out + (q_row(op, block, r) - op.q) / op.q_stride * op.out_stride +
                       (q_row(op, block, r) - op.q) % op.q_stride;
    Floats const inverse = broadcast(1.0f / reduce_add(load(partial.l[r])));
    for (int i = 0; i < d; i += lanes)
      store_first(out + i, mul(load(partial.o + r * whole_lanes(d) + i), inverse), d - i);
  }
}

/// Walks the tree of spans 0 .. count-1: leaf(span, partial) fills one, or returns false where nothing is seen.
template <class Leaf>
Partial& combine_spans(int count, Partial* stack, Leaf const& leaf, int rows, int d) {
  int depth = 0;
  for (int span = 0; span < count; ++span) {
    if (!leaf(span, stack[depth])) stack[depth].clear(rows, d);
    ++depth;
    for (int merges = merges_after(span, count); merges > 0; --merges, --depth)
      merge_partials(stack[depth - 2], stack[depth - 1], rows, d);
  }
  return stack[0];
}

int spans_of(PagedAttention const& op, RowBlock const& block) { return last_position(op, block) / attention_span + 1; }

void run_block(PagedAttention const& op, RowBlock const& block) {
  Queries queries;
  Partial stack[max_span_levels];
  prepare(op, block, queries);
  int const first_tile = first_seen(op, block) / block_tokens, end_tile = last_position(op, block) / block_tokens + 1;
  auto const leaf = [&](int span, Partial& partial) {
    int const first = std::max(first_tile, span * tiles_per_span),
              end = std::min(end_tile, (span + 1) * tiles_per_span);
    if (first >= end) return false;
    attend(op, block, queries, first, end, partial);
    return true;
  };
  write_out(op, block, combine_spans(spans_of(op, block), stack, leaf, block.count, whole_lanes(op.kv.shape.head_dim)));
}

/// Few rows, long context: one task per block and span, then one per block to combine.
void run_split(PagedAttention const& op, std::int64_t blocks, int max_spans, Queue const& queue) {
  int const d = whole_lanes(op.kv.shape.head_dim);
  std::size_t const slot_floats = std::size_t(block_rows) * std::size_t(d + lanes + 1);
  auto const slot = [&](std::int64_t task, int span) {
    return reinterpret_cast<float*>(op.workspace.data()) + std::size_t(task * max_spans + span) * slot_floats;
  };
  queue.team->for_parts(blocks * max_spans, 1, [&](std::int64_t part, std::int64_t, int) {
    RowBlock const block = find_block(op, part / max_spans);
    int const span = int(part % max_spans);
    int const first = std::max(first_seen(op, block) / block_tokens, span * tiles_per_span);
    int const end = std::min(last_position(op, block) / block_tokens + 1, (span + 1) * tiles_per_span);
    if (first >= end) return;
    Queries queries;
    Partial partial;
    prepare(op, block, queries);
    attend(op, block, queries, first, end, partial);
    partial.save(slot(part / max_spans, span), block.count, d);
  });
  queue.team->for_parts(blocks, 1, [&](std::int64_t task, std::int64_t, int) {
    RowBlock const block = find_block(op, task);
    Partial stack[max_span_levels];
    int const first_span = first_seen(op, block) / attention_span;
    auto const leaf = [&](int span, Partial& partial) {
      if (span < first_span) return false;
      partial.restore(slot(task, span), block.count, d);
      return true;
    };
    write_out(op, block, combine_spans(spans_of(op, block), stack, leaf, block.count, d));
  });
}

}  // namespace

void paged_attention(PagedAttention const& op, Queue const& queue) {
  std::int64_t blocks = 0;
  int max_spans = 1;
  for (SequenceRows const& sequence : op.sequences) {
    if (sequence.rows == 0) continue;
    blocks += std::int64_t(blocks_of(op, sequence)) * op.kv.shape.kv_heads;
    max_spans = std::max(max_spans, (sequence.first_position + sequence.rows - 1) / attention_span + 1);
  }
  bool const few_blocks = blocks < attention_split_blocks(queue.team->size());
  if (few_blocks && max_spans > 1 && queue.team->size() > 1) return run_split(op, blocks, max_spans, queue);
  queue.team->for_parts(blocks, 1, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t task = first; task < last; ++task) run_block(op, find_block(op, task));
  });
}

}  // namespace windlass::x86::WINDLASS_LEVEL
