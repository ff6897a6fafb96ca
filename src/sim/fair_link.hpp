/// A fabric that several senders share: every transfer gets its fair part (max-min).
#pragma once

#include <cstdint>
#include <vector>

#include "src/core/clock.hpp"

namespace windlass {

/// Transfers progress together. A sender's own link limits the sum of its transfers, the fabric the sum of all; what
/// one cannot use goes to the others.
class FairLink {
 public:
  /// Bytes per microsecond of one sender and of the fabric.
  FairLink(double sender_bytes_per_us, double fabric_bytes_per_us)
      : sender_(sender_bytes_per_us), fabric_(fabric_bytes_per_us) {}

  struct Transfer {
    std::uint32_t id, sender;
    double bytes;  ///< left
    double rate = 0;
  };

  void add(Microseconds now, Transfer transfer);
  void remove(Microseconds now, std::uint32_t id);  ///< does nothing where it is not known
  bool empty() const { return transfers_.empty(); }
  Microseconds next_done_us() const;  ///< of the transfer that ends first, as things are; never_us of none
  /// Ids of those that are done, in the order in which they were added.
  std::vector<std::uint32_t> take_done(Microseconds now);

 private:
  void advance(Microseconds now);
  void share();

  double sender_, fabric_;
  Microseconds now_us_ = 0;
  std::vector<Transfer> transfers_;
};

}  // namespace windlass
