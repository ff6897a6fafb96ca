// Operations on one row at a time: norm, activation formats, gates, embedding, log-softmax. Bound by reading and
// writing their rows, which lie in the first or second-level cache.
#include <algorithm>
#include <cmath>

#include "kernels/x86/level_operations.hpp"
#include "kernels/x86/matmul_float.hpp"
#include "kernels/x86/tails.hpp"

namespace windlass::x86::WINDLASS_LEVEL {
namespace {

/// Rows per part: a part should take longer than waking a thread.
constexpr std::int64_t values_per_part = 8192;

template <class Row>
void for_rows(Queue const& queue, int rows, std::int64_t width, Row const& row) {
  std::int64_t const grain = std::max<std::int64_t>(1, values_per_part / std::max<std::int64_t>(1, width));
  queue.team->for_parts(rows, grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) row(t);
  });
}

void encode_int8_row(EncodeActivations const& op, std::int64_t t) {
  float const* const x = op.x + t * op.x_stride;
  for (std::int64_t g = 0; g < op.out.groups(); ++g) {
    std::int64_t const at = g * group_size;
    Floats const low = load_first(x + at, op.columns - at), high = load_first(x + at + lanes, op.columns - at - lanes);
    float const largest = reduce_max(max(magnitude(low), magnitude(high)));
    float const to_code = 127.0f / largest;  // infinite where the group is zero, or so small that it counts as zero
    float const inverse = std::isfinite(to_code) ? to_code : 0.0f;
    Floats const a = mul(low, broadcast(inverse)), b = mul(high, broadcast(inverse));
    std::int64_t const factor = op.out.factor_index(t, g);
    auto* const codes = static_cast<std::int8_t*>(op.out.values) + factor * group_size;
    store_int8(codes, a);
    store_int8(codes + lanes, b);
    std::int32_t const sum = reduce_add_ints(add_ints(to_ints(a), to_ints(b)));
    op.out.scales[factor] = largest / 127.0f;
    op.out.sums[factor] = sum;
    op.out.scaled_sums[factor] = op.out.scales[factor] * float(sum);
  }
}

void encode_row(EncodeActivations const& op, std::int64_t t) {
  float const* const x = op.x + t * op.x_stride;
  switch (op.out.format) {
    case ActivationFormat::int8:
      return encode_int8_row(op, t);
    case ActivationFormat::f32:
      for (std::int64_t k = 0; k < op.out.stride; k += lanes)
        store(static_cast<float*>(op.out.values) + t * op.out.stride + k, load_first(x + k, op.columns - k));
      return;
    case ActivationFormat::bf16:
      for (std::int64_t k = 0; k < op.out.stride; k += lanes)
        store_bf16(static_cast<std::uint16_t*>(op.out.values) + t * op.out.stride + k,
                   load_first(x + k, op.columns - k));
      return;
  }
}

Floats tanh(Floats x) {  // 1 - 2 / (e^2x + 1)
  Floats const one = broadcast(1.0f);
  return sub(one, div(broadcast(2.0f), add(exp(add(x, x)), one)));
}

Floats gate_value(GateFunction gate, Floats z) {
  if (gate == GateFunction::silu) return div(z, add(broadcast(1.0f), exp(sub(zero(), z))));
  Floats const inner = mul(broadcast(0.79788456f), fma(mul(broadcast(0.044715f), mul(z, z)), z, z));
  return mul(mul(broadcast(0.5f), z), add(broadcast(1.0f), tanh(inner)));
}

template <WeightFormat Format>
void gather_row(Embedding const& op, std::int64_t t) {
  int const row = int(number(op.tokens[std::size_t(t)])), lane = row % lanes;
  float* const y = op.y + t * op.y_stride;
  for (int g = 0; g < op.table->groups(); ++g) {
    Floats w[group_size];
    widen_group<Format>(*op.table, op.table->group(row / lanes, g), w);
    int const columns = std::min(group_size, op.table->columns - g * group_size);
    for (int k = 0; k < columns; ++k) {
      alignas(64) float column[lanes];
      store(column, w[k]);
      y[g * group_size + k] = op.scale * column[lane];
    }
  }
}

void gather(Embedding const& op, std::int64_t t) {
  switch (op.table->format) {
    case WeightFormat::f32:
      return gather_row<WeightFormat::f32>(op, t);
    case WeightFormat::f16:
      return gather_row<WeightFormat::f16>(op, t);
    case WeightFormat::bf16:
      return gather_row<WeightFormat::bf16>(op, t);
    case WeightFormat::q8:
      return gather_row<WeightFormat::q8>(op, t);
    case WeightFormat::q8_min:
      return gather_row<WeightFormat::q8_min>(op, t);
    case WeightFormat::q4:
      return gather_row<WeightFormat::q4>(op, t);
    case WeightFormat::q4_min:
      return gather_row<WeightFormat::q4_min>(op, t);
  }
}

void cap_logits(float* x, int vocab, float cap) {
  for (int v = 0; v < vocab; v += lanes)
    store_first(x + v, mul(broadcast(cap), tanh(div(load_first(x + v, vocab - v), broadcast(cap)))), vocab - v);
}

float row_normalizer(float const* x, int vocab) {
  Floats const lowest = broadcast(-__builtin_inff());
  Floats largest = lowest;
  for (int v = 0; v < vocab; v += lanes)
    largest = max(largest, keep_lanes(load_first(x + v, vocab - v), 0, vocab - v, lowest));
  float const top = reduce_max(largest);
  Floats sum = zero();
  for (int v = 0; v < vocab; v += lanes)
    sum = add(sum, keep_lanes(exp(sub(load_first(x + v, vocab - v), broadcast(top))), 0, vocab - v, zero()));
  return top + float(std::log(double(reduce_add(sum))));
}

}  // namespace

void encode_activations(EncodeActivations const& op, Queue const& queue) {
  for_rows(queue, op.tokens, op.columns, [&](std::int64_t t) { encode_row(op, t); });
}

void rms_norm(RmsNorm const& op, Queue const& queue) {
  for_rows(queue, op.tokens, op.hidden, [&](std::int64_t t) {
    float const* const x = op.x + t * op.x_stride;
    float* const y = op.y + t * op.y_stride;
    Floats squares = zero();
    for (int h = 0; h < op.hidden; h += lanes) {
      Floats const v = load_first(x + h, op.hidden - h);
      squares = fma(v, v, squares);
    }
    Floats const scale = broadcast(1.0f / std::sqrt(reduce_add(squares) / float(op.hidden) + op.eps));
    for (int h = 0; h < op.hidden; h += lanes) {
      std::int64_t const left = op.hidden - h;
      Floats const normed = mul(mul(load_first(x + h, left), scale), load_first(op.weight + h, left));
      bool const adds = op.accumulate == Accumulate::add_to_y;
      store_first(y + h, adds ? add(load_first(y + h, left), normed) : normed, left);
    }
  });
}

void gated_activation(GatedActivation const& op, Queue const& queue) {
  for_rows(queue, op.tokens, 4 * op.width, [&](std::int64_t t) {
    float const* const gate = op.x + t * op.x_stride;
    float const* const up = gate + op.up_offset;
    float* const y = op.y + t * op.y_stride;
    for (int i = 0; i < op.width; i += lanes) {
      std::int64_t const left = op.width - i;
      store_first(y + i, mul(gate_value(op.gate, load_first(gate + i, left)), load_first(up + i, left)), left);
    }
  });
}

void embedding(Embedding const& op, Queue const& queue) {
  for_rows(queue, int(op.tokens.size()), 16 * op.table->columns, [&](std::int64_t t) { gather(op, t); });
}

void log_normalizer(LogNormalizer const& op, Queue const& queue) {
  for_rows(queue, op.rows, op.vocab, [&](std::int64_t t) {
    float* const x = op.x + t * op.stride;
    if (op.soft_cap > 0) cap_logits(x, op.vocab, op.soft_cap);
    op.normalizer[t] = row_normalizer(x, op.vocab);
  });
}

void sum_partials(SumPartials const& op, Queue const& queue) {
  for_rows(queue, op.tokens, std::int64_t(op.partials.size() + 1) * op.width, [&](std::int64_t t) {
    float* const y = op.y + t * op.y_stride;
    for (int n = 0; n < op.width; n += lanes) {
      std::int64_t const left = op.width - n;
      Floats sums[max_slice_levels];
      int depth = 0;
      for (std::size_t root = 0; root < op.partials.size(); ++root) {
        sums[depth++] = load_first(op.partials[root] + t * op.stride + n, left);
        for (int merges = op.merges[root]; merges > 0; --merges, --depth)
          sums[depth - 2] = add(sums[depth - 2], sums[depth - 1]);
      }
      Floats const sum = op.bias ? add(sums[0], load_first(op.bias + n, left)) : sums[0];
      store_first(y + n, op.accumulate == Accumulate::add_to_y ? add(load_first(y + n, left), sum) : sum, left);
    }
  });
}

}  // namespace windlass::x86::WINDLASS_LEVEL
