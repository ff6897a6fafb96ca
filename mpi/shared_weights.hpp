/// One copy of packed weights for several processes of a host.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "mpi/shared_segment.hpp"

namespace windlass {

/// One process packs, the others map. Local; made by share_weights().
class SharedWeights {
 public:
  enum class Part : unsigned char { packs, maps };

  SharedWeights(SharedSegment segment, Part part);

  Part part() const { return part_; }
  std::span<std::byte> bytes() const;
  std::shared_ptr<void const> owner() const { return segment_.owner(); }
  /// By the process that packs, in any case: whether the weights are complete.
  void tell(bool are_complete);
  /// By the others: until they are complete. Throws InputError where the packing process failed, died, or needs more
  /// than half an hour.
  void wait() const;

 private:
  struct Header;
  Header& header() const;
  SharedSegment segment_;
  Part part_;
};

/// Collective over the job, at its start: ranks of one host that give the same `key` (empty: none) get the same memory
/// of `bytes`; a rank whose key nobody shares gets nothing. Where there is no room, nobody does, after one warning.
struct WeightWish {
  std::string key;
  std::size_t bytes = 0;
  std::uint64_t job_epoch = 0;
};
std::optional<SharedWeights> share_weights(WeightWish const& wish);

}  // namespace windlass
