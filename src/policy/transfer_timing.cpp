#include "src/policy/transfer_timing.hpp"

#include <algorithm>

namespace windlass {

TransferTimingPlan plan_transfer_timing(TransferTimingInput const& in) {
  double const layers = double(in.layers), moving_us = in.kv_bytes / in.bytes_per_us;
  double const serial_us = in.message_us + moving_us;
  double const last_layer_us = in.message_us + moving_us / layers;
  double const hidden_us = in.prefill_us * (layers - 1) / layers;
  double const layered_us =
      std::max(last_layer_us, layers * in.message_us + moving_us - hidden_us) + in.synchronisation_us * layers;
  if (layered_us < serial_us) return {TransferTiming::layer_wise, layered_us, TransferTimingStop::overlap_wins};
  return {TransferTiming::after_prefill, serial_us, TransferTimingStop::overlap_costs_more};
}

}  // namespace windlass
