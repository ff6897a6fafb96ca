/// In how many pieces a request's KV crosses the link: page by page and layer by layer, by page, or as one buffer.
#pragma once

#include <cstdint>

namespace windlass {

enum class TransferShape : std::uint8_t {
  pages,       ///< one message for K and V of each layer of each page
  huge_pages,  ///< one message for each page, all layers
  contiguous,  ///< packed into one message, scattered into pages at the receiver
};

struct TransferShapeInput {
  double kv_bytes;
  std::int64_t pages, layers;
  double message_us;                        ///< cost of one message
  double bytes_per_us;                      ///< of the link
  double memory_bytes_per_us;               ///< of the receiver, for the scatter
  double staging_bytes;                     ///< free for a contiguous copy, on both sides
  std::int64_t page_messages_together = 1;  ///< adjacent pieces that one message carries
};

enum class TransferShapeStop : std::uint8_t { fewest_us, staging_too_small };

struct TransferShapePlan {
  TransferShape shape;
  double transfer_us;
  TransferShapeStop stop;
};

/// Time of one shape: messages * message_us + bytes / bandwidth + scatter.
double transfer_us(TransferShapeInput const& in, TransferShape shape);

/// The quickest shape whose staging fits. Local, pure, no errors. Source: P/D-Serve (block-free transfer) and MemServe
/// (aggregation by request).
TransferShapePlan plan_transfer_shape(TransferShapeInput const& in);

}  // namespace windlass
