#include "src/policy/transfer_shape.hpp"

#include <cmath>
#include <initializer_list>

namespace windlass {

double transfer_us(TransferShapeInput const& in, TransferShape shape) {
  double const moving_us = in.kv_bytes / in.bytes_per_us;
  switch (shape) {
    case TransferShape::pages:
      return std::ceil(double(in.pages * in.layers * 2) / double(in.page_messages_together)) * in.message_us +
             moving_us;
    case TransferShape::huge_pages:
      return double(in.pages) * in.message_us + moving_us;
    case TransferShape::contiguous:
      return in.message_us + moving_us + in.kv_bytes / in.memory_bytes_per_us;
  }
  return moving_us;
}

TransferShapePlan plan_transfer_shape(TransferShapeInput const& in) {
  TransferShapePlan best{TransferShape::pages, transfer_us(in, TransferShape::pages), TransferShapeStop::fewest_us};
  for (TransferShape const shape : {TransferShape::huge_pages, TransferShape::contiguous}) {
    double const us = transfer_us(in, shape);
    if (us >= best.transfer_us) continue;
    if (shape == TransferShape::contiguous && in.kv_bytes > in.staging_bytes) {
      best.stop = TransferShapeStop::staging_too_small;
      continue;
    }
    best = {shape, us, TransferShapeStop::fewest_us};
  }
  return best;
}

}  // namespace windlass
