/// When a prompt's KV leaves the prefill side: after the last layer, or layer by layer while later layers compute.
#pragma once

#include <cstdint>

namespace windlass {

enum class TransferTiming : std::uint8_t { after_prefill, layer_wise };

struct TransferTimingInput {
  double kv_bytes;
  double bytes_per_us;  ///< of the link
  double prefill_us;    ///< of this prompt
  std::int64_t layers;
  double message_us;          ///< cost of one message on top of its bytes
  double synchronisation_us;  ///< per layer, of the layer-wise way
};

enum class TransferTimingStop : std::uint8_t { overlap_wins, overlap_costs_more };

struct TransferTimingPlan {
  TransferTiming timing;
  double exposed_us;  ///< between the end of prefill and the last byte
  TransferTimingStop stop;
};

/// The timing with less exposed time: all bytes after prefill, or what of them does not hide behind the other layers,
/// at least the last layer's. Local, pure, no errors. Source: Splitwise (ISCA'24), section IV-C.
TransferTimingPlan plan_transfer_timing(TransferTimingInput const& in);

}  // namespace windlass
