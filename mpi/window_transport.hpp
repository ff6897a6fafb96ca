/// KV by MPI one-sided puts.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "mpi/kv_transport.hpp"

namespace windlass {

/// Two ranks that hand KV to each other.
struct KvLink {
  int first_rank = 0, second_rank = 0;  ///< first < second
};

/// One window per pair of ranks and layer group, over the pools themselves. Both ranks of a pair hold a lock_all epoch
/// from start to end. The sender alone writes, only into pages that the receiver granted and does not touch until it
/// has heard that they were sent; a flush makes them visible before it says so. Windows towards a lost rank are
/// abandoned, never flushed or freed.
class WindowTransport final : public KvTransport {
 public:
  /// Collective over both ranks of each link; every rank of the job gives the same `links`, in the same order, and
  /// makes those that it is part of. Throws MpiError where the MPI library cannot make such windows (Debian's Open MPI
  /// over TCP), after it has taken part in making all of its links: nobody waits for a rank that has given up, and what
  /// there is of windows is left alone. `pools` [groups] outlives the transport.
  WindowTransport(std::vector<PoolRegion> pools, std::span<KvLink const> links);
  ~WindowTransport() override;

  /// Local. Leaves windows and communicators unfreed, for the end of one that another rank could not make: freeing is
  /// collective, and the other rank of a link may not have what this one has.
  void abandon();

  TransportKind kind() const override { return TransportKind::window; }
  void send(KvJob const& job) override;
  void receive(KvJob const&) override {}
  bool progress() override;
  bool sent(KvJob const& job) const override;
  bool received(KvJob const& job) override;
  bool forget(KvJob const& job) override;

 private:
  struct Links;
  std::unique_ptr<Links> links_;
};

}  // namespace windlass
