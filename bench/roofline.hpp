/// The least time in which this machine could do a piece of a model's work: what every benchmark result is a share of.
#pragma once

#include <string>

#include "kernels/operations.hpp"
#include "kernels/peak_rates.hpp"
#include "src/model/model.hpp"

namespace windlass::bench {

/// How a run computes.
struct Arithmetic {
  Operations const& operations;
  Precision precision = Precision::fast;
  KvFormat kv_format() const { return precision == Precision::fast ? operations.fast_kv : KvFormat::f32; }
};

/// Rates in 10^9 per second.
struct Limits {
  double read_gb_per_s = 0;        ///< of a buffer as large as the weights that one step reads
  double product_gop_per_s = 0;    ///< peak of the type in which products with most of the weights are computed
  double attention_gop_per_s = 0;  ///< peak of the KV cache's type
  std::string product_type;        ///< "fp32", "bf16" or "int8"
};

/// What the forward pass needs, from the model's shapes alone.
struct ModelCost {
  double layer_ops_per_token = 0;     ///< products of all layers; MoE: of the chosen experts
  double head_ops_per_token = 0;      ///< product with the output head, of sampled tokens only
  double attention_ops_per_pair = 0;  ///< of one token with one position before it, all layers
  double step_weight_bytes = 0;       ///< read by every step, however many tokens it has (MoE: of one token)
  double kv_bytes_per_token = 0;

  ModelCost(Model const& model, KvFormat kv_format);
};

/// Runs about three seconds. Local.
Limits measure_limits(Model const& model, ModelCost const& cost, Arithmetic const& arithmetic, ThreadTeam& team);

/// Least seconds of prefilling one prompt of that many tokens: arithmetic at peak rate.
double least_prefill_seconds(ModelCost const& cost, Limits const& limits, double prompt_tokens);

/// Least seconds of one decode step of `sequences` sequences with `context` tokens each: their KV and the weights are
/// read once, or the arithmetic takes longer.
struct DecodeStep {
  double sequences = 1, context = 0;
};
double least_step_seconds(ModelCost const& cost, Limits const& limits, DecodeStep const& step);

}  // namespace windlass::bench
