#include "bench/roofline.hpp"

#include <algorithm>

namespace windlass::bench {
namespace {

/// Sums of multiply-add work and bytes over matrices that one token passes.
struct Products {
  double ops = 0, bytes = 0;
  void add(PackedMatrix const& matrix, double times = 1) {
    ops += times * 2.0 * matrix.rows * matrix.columns;
    bytes += times * double(matrix.size_bytes());
  }
  void add(FeedForward const& network, double times = 1) {
    add(network.gate_up, times);
    add(network.down, times);
  }
};

Products layer_products(Model const& model) {
  Products sum;
  for (LayerWeights const& layer : model.weights.layers) {
    sum.add(layer.qkv);
    sum.add(layer.output);
    if (layer.experts.empty()) {
      sum.add(layer.dense);
      continue;
    }
    sum.add(layer.router);
    sum.add(layer.experts.front(), model.spec.experts_per_token);
    if (model.spec.shared_expert_ffn > 0) sum.add(layer.shared_expert);
  }
  return sum;
}

char const* type_of(ActivationFormat format) {
  switch (format) {
    case ActivationFormat::f32:
      return "fp32";
    case ActivationFormat::bf16:
      return "bf16";
    case ActivationFormat::int8:
      return "int8";
  }
  return "";
}

}  // namespace

ModelCost::ModelCost(Model const& model, KvFormat kv_format) {
  Products const layers = layer_products(model);
  Products head;
  head.add(model.weights.head);
  double const layer_count = double(model.spec.layers.size());
  layer_ops_per_token = layers.ops;
  head_ops_per_token = head.ops;
  attention_ops_per_pair = layer_count * 4.0 * model.spec.heads * model.spec.head_dim;
  step_weight_bytes = layers.bytes + head.bytes;
  kv_bytes_per_token = layer_count * 2.0 * model.spec.kv_heads * model.spec.head_dim * bytes_per_value(kv_format);
}

Limits measure_limits(Model const& model, ModelCost const& cost, Arithmetic const& arithmetic, ThreadTeam& team) {
  std::vector<ArithmeticLimit> const rates = measure_arithmetic(team);
  WeightFormat const weights = model.weights.layers.front().qkv.format;
  bool const bf16_products = arithmetic.operations.bf16_products;
  Limits limits;
  limits.product_type = type_of(activation_format(weights, arithmetic.precision, bf16_products));
  limits.product_gop_per_s = best_rate(rates, limits.product_type);
  bool const bf16_attention = arithmetic.kv_format() == KvFormat::bf16 && bf16_products;
  limits.attention_gop_per_s = best_rate(rates, bf16_attention ? "bf16" : "fp32");
  limits.read_gb_per_s = measure_read(LimitBuffer(std::size_t(cost.step_weight_bytes), team), team).median;
  return limits;
}

double least_prefill_seconds(ModelCost const& cost, Limits const& limits, double prompt_tokens) {
  double const pairs = prompt_tokens * (prompt_tokens + 1) / 2;
  double const product_ops = prompt_tokens * cost.layer_ops_per_token + cost.head_ops_per_token;
  return product_ops / limits.product_gop_per_s / 1e9 +
         pairs * cost.attention_ops_per_pair / limits.attention_gop_per_s / 1e9;
}

double least_step_seconds(ModelCost const& cost, Limits const& limits, DecodeStep const& step) {
  double const pairs = step.sequences * step.context;
  double const weights_s = cost.step_weight_bytes / limits.read_gb_per_s / 1e9;
  double const kv_s = pairs * cost.kv_bytes_per_token / limits.read_gb_per_s / 1e9;
  double const products_s =
      step.sequences * (cost.layer_ops_per_token + cost.head_ops_per_token) / limits.product_gop_per_s / 1e9;
  double const attention_s = pairs * cost.attention_ops_per_pair / limits.attention_gop_per_s / 1e9;
  return std::max(weights_s, products_s) + std::max(kv_s, attention_s);
}

}  // namespace windlass::bench
