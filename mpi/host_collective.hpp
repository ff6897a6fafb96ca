/// The ranks of an instance on one host, which exchange through memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mpi/shared_segment.hpp"
#include "src/core/collective.hpp"

namespace windlass {

struct CollectivePlace {
  int degree = 1;
  int instance_rank = 0;
};

struct CollectiveConfig {
  std::size_t capacity_bytes = std::size_t{2} << 20;  ///< of an outbox; a rank has two
  Microseconds silence_us = 30'000'000;               ///< after which a rank that should be there is given up
  std::size_t lane_bytes = 0;  ///< of what a rank may have sent before the other one takes it; 0: nobody sends
};

/// Outboxes lie in a shared segment: what is shown is read where it was written. What a rank sends goes through a lane
/// of its own, in pieces of half of it: the sender fills one half while the other one is taken. A rank that dies is
/// noticed within 50 ms of waiting for it (pidfd), one that hangs after `silence_us`; a process that was stopped itself
/// does not hold the lost time against others.
class HostCollective final : public Collective {
 public:
  static std::size_t segment_bytes(int degree, CollectiveConfig const& config);
  /// `segment` is new and zeroed, the same on all ranks. Local; the ranks meet in the first call.
  HostCollective(SharedSegment segment, CollectivePlace place, CollectiveConfig const& config);
  ~HostCollective() override;

  int degree() const override { return place_.degree; }
  int instance_rank() const override { return place_.instance_rank; }
  std::size_t capacity_bytes() const override { return config_.capacity_bytes; }
  std::byte* outbox() override;
  std::span<std::byte const* const> exchange(std::span<std::size_t const> bytes) override;
  void announce(std::span<std::byte const> message) override;
  std::optional<std::vector<std::byte>> await_announcement(Microseconds patience_us) override;
  void send(int to, std::span<std::byte const> bytes) override;
  void receive(int from, std::span<std::byte> bytes) override;

 private:
  struct RankPart;
  struct Header;
  class Members;

  Header& header() const;
  RankPart& part(int rank) const;
  std::byte* box(std::uint32_t turn, int rank) const;
  std::span<std::byte> notice_board() const;
  std::span<std::byte> lane_part(int from, std::uint32_t piece) const;
  void wait_for_readers();

  SharedSegment segment_;
  CollectivePlace place_;
  CollectiveConfig config_;
  std::unique_ptr<Members> members_;
  std::uint32_t turn_ = 0;               ///< exchanges so far
  std::uint32_t notices_ = 0;            ///< pieces of announcements so far
  std::uint32_t sent_ = 0;               ///< pieces so far
  std::vector<std::uint32_t> received_;  ///< [ranks] pieces so far
  std::vector<std::byte const*> shown_;
};

}  // namespace windlass
