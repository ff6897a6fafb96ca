#include "src/sim/roofline_latency.hpp"

#include <algorithm>
#include <cmath>

namespace windlass {

RooflineLatency::RooflineLatency(ModelShape const& model, DeviceLimits const& device, ParallelDegree degree)
    : model_(model), device_(device), degree_(degree) {}

Microseconds RooflineLatency::step_us(StepWork const& work, int) const {
  double const tokens = double(work.prompt_tokens + work.sequences);
  double const width = double(model_.heads * model_.head_dim), layers = double(model_.layers);
  // causal attention: a prompt token reads half of its prompt on average, a decoding sequence all of its context
  double const pairs = work.prompt_tokens_squared / 2 + double(work.sequence_context);
  double const flops = 2 * model_.parameters * tokens + 4 * layers * width * pairs;
  double const bytes = model_.weight_bytes + model_.kv_bytes_per_token() * (double(work.sequence_context) + tokens);
  double const devices = degree_.gpus();
  double const compute_us = flops / devices / (device_.compute_efficiency * device_.flops_per_us);
  double const memory_us = bytes / devices / (device_.memory_efficiency * device_.bytes_per_us);
  double collective_us = 0;
  if (degree_.tp > 1) {
    double const moved = 2.0 * (degree_.tp - 1) / degree_.tp * tokens * double(model_.hidden) * 2;
    collective_us = 2 * layers / degree_.pp * (device_.collective_us + moved / device_.link_bytes_per_us);
  }
  return std::max<Microseconds>(
      1, std::llround(std::max(compute_us, memory_us) + collective_us + device_.step_us / degree_.pp));
}

std::int64_t kv_tokens_beside_weights(ModelShape const& model, DeviceLimits const& device, ParallelDegree degree) {
  constexpr double memory_share = 0.9;  // the rest: activations, runtime
  double const free = memory_share * device.memory_bytes * degree.gpus() - model.weight_bytes;
  return free <= 0 ? 0 : std::int64_t(free / model.kv_bytes_per_token());
}

}  // namespace windlass
