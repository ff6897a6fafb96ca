/// The ranks of an instance on several hosts, which exchange by messages.
#pragma once

#include <memory>
#include <vector>

#include "mpi/host_collective.hpp"

namespace windlass {

/// Point-to-point messages on a communicator of the instance, with deadlines: whoever does not answer for `silence_us`
/// is given up. The thread that computes calls MPI, beside the courier's.
class MessageCollective final : public Collective {
 public:
  /// Collective over the ranks of the instance (world ranks, the leader first), at the start of the job. Throws
  /// MpiError, or InputError where the MPI library lets only one thread call it.
  MessageCollective(std::vector<int> const& world_ranks, CollectivePlace place, CollectiveConfig const& config);
  ~MessageCollective() override;

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
  struct Links;
  std::byte* box(std::uint32_t turn, int rank);

  CollectivePlace place_;
  CollectiveConfig config_;
  std::unique_ptr<Links> links_;
  std::vector<std::byte> boxes_;  ///< two turns of all ranks
  std::uint32_t turn_ = 0;
  std::vector<std::byte const*> shown_;
};

}  // namespace windlass
