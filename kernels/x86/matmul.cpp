// Matrix product: work is cut into (chunk of panels, block of tokens); a tile of 4 or 8 tokens stays in registers
// while K runs. Decode is bound by reading the weights once, prefill by the multiply-add units.
#include "kernels/matmul.hpp"

#include <algorithm>

#include "kernels/x86/level_operations.hpp"
#include "kernels/x86/matmul_float.hpp"
#include "kernels/x86/matmul_tile.hpp"
#include "kernels/x86/matmul_walk.hpp"

namespace windlass::x86::WINDLASS_LEVEL {
namespace {

template <class Slice, int Tokens, int Panels>
void run_tile(MatMul const& op, int panel, int token) {
  walk_slices<Tokens, Panels>(op, {panel, token, Tokens},
                              [](Tile const& tile, Floats* sums) { Slice::template run<Tokens, Panels>(tile, sums); });
}

template <class Slice, int Panels>
void run_tokens(MatMul const& op, int panel, int begin, int end) {
  int token = begin;
  if constexpr (Slice::tokens == 8)
    for (; token + 8 <= end; token += 8) run_tile<Slice, 8, Panels>(op, panel, token);
  for (; token + 4 <= end; token += 4) run_tile<Slice, 4, Panels>(op, panel, token);
  for (; token + 2 <= end; token += 2) run_tile<Slice, 2, Panels>(op, panel, token);
  if (token < end) run_tile<Slice, 1, Panels>(op, panel, token);
}

/// As few tokens as this are bound by memory: panels pass one by one, as a single stream.
constexpr int few_tokens = 2;

template <class Slice>
void run(MatMul const& op, Queue const& queue) {
  int const panels = op.weight->panels();
  int const blocks = (op.tokens + tokens_per_block - 1) / tokens_per_block;
  int const chunk = std::max(Slice::panels, panels / (queue.team->size() * 8) / Slice::panels * Slice::panels);
  int const chunks = (panels + chunk - 1) / chunk;
  queue.team->for_parts(std::int64_t(chunks) * blocks, 1, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t part = first; part < last; ++part) {
      int const begin = int(part / chunks) * tokens_per_block, end = std::min(op.tokens, begin + tokens_per_block);
      int panel = int(part % chunks) * chunk;
      int const panel_end = std::min(panels, panel + chunk);
      bool const together = end - begin > few_tokens;
      for (; together && panel + Slice::panels <= panel_end; panel += Slice::panels)
        run_tokens<Slice, Slice::panels>(op, panel, begin, end);
      for (; panel < panel_end; ++panel) run_tokens<Slice, 1>(op, panel, begin, end);
    }
  });
}

template <WeightFormat Format>
void run_quantized(MatMul const& op, Queue const& queue) {
  if (op.x.format == ActivationFormat::f32) return run<FloatSlice<Format>>(op, queue);
  if constexpr (!narrow_codes<Format>)
    if (op.weight->scale_group != group_size) return run<Int8HalfGroupSlice<Format>>(op, queue);
  if (op.weight->scale_type == ScaleType::f16) return run<Int8Slice<Format, ScaleType::f16>>(op, queue);
  run<Int8Slice<Format, ScaleType::f32>>(op, queue);
}

}  // namespace

void matmul(MatMul const& op, Queue const& queue) {
  if (op.tokens == 0) return;
  switch (op.weight->format) {
    case WeightFormat::f32:
      return run<FloatSlice<WeightFormat::f32>>(op, queue);
    case WeightFormat::f16:
      return run<FloatSlice<WeightFormat::f16>>(op, queue);
    case WeightFormat::bf16:
      if (op.x.format == ActivationFormat::bf16) return run<Bf16Slice>(op, queue);
      return run<FloatSlice<WeightFormat::bf16>>(op, queue);
    case WeightFormat::q8:
      return run_quantized<WeightFormat::q8>(op, queue);
    case WeightFormat::q8_min:
      return run_quantized<WeightFormat::q8_min>(op, queue);
    case WeightFormat::q4:
      return run_quantized<WeightFormat::q4>(op, queue);
    case WeightFormat::q4_min:
      return run_quantized<WeightFormat::q4_min>(op, queue);
  }
}

}  // namespace windlass::x86::WINDLASS_LEVEL
