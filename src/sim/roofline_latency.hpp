/// A latency model from first principles: what a step computes and reads, over what the device can.
#pragma once

#include <cstdint>

#include "src/policy/placement.hpp"
#include "src/sim/latency.hpp"

namespace windlass {

struct ModelShape {
  std::int64_t layers, hidden, heads, kv_heads, head_dim;
  double parameters;    ///< that one token uses
  double weight_bytes;  ///< of all of them
  double kv_bytes_per_value = 2;
  double kv_bytes_per_token() const { return 2.0 * double(layers * kv_heads * head_dim) * kv_bytes_per_value; }
};

/// One device, and what joins devices. Efficiencies are the shares of the peak that real steps reach.
struct DeviceLimits {
  double flops_per_us, bytes_per_us;  ///< peak compute and memory bandwidth
  double memory_bytes;
  double link_bytes_per_us;       ///< between devices of one node
  double node_link_bytes_per_us;  ///< between nodes
  double compute_efficiency = 0.55, memory_efficiency = 0.75;
  double step_us = 5'000;     ///< of every step, whatever its size (launches, scheduling)
  double collective_us = 15;  ///< of one all-reduce, on top of its bytes
};

/// A stage of pp computes its layers, split over tp; each layer reduces its activations twice.
class RooflineLatency final : public LatencyModel {
 public:
  RooflineLatency(ModelShape const& model, DeviceLimits const& device, ParallelDegree degree);
  Microseconds step_us(StepWork const& work, int stage) const override;

 private:
  ModelShape model_;
  DeviceLimits device_;
  ParallelDegree degree_;
};

/// Tokens of KV that fit beside the weights into `memory_share` of an instance's memory; 0 where the weights do not.
std::int64_t kv_tokens_beside_weights(ModelShape const& model, DeviceLimits const& device, ParallelDegree degree);

}  // namespace windlass
