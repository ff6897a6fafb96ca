/// KV by MPI_Isend and MPI_Irecv.
#pragma once

#include <memory>
#include <vector>

#include "mpi/kv_transport.hpp"

namespace windlass {

/// A batch of one page travels from page to page; smaller pages are packed into batches of 1 MiB or more. At most
/// `least_batch_bytes` * batches are under way, which bounds the memory for packing.
class MessageTransport final : public KvTransport {
 public:
  /// Collective over the job, at its start. `pools` [groups] outlives the transport.
  explicit MessageTransport(std::vector<PoolRegion> pools);
  ~MessageTransport() override;

  TransportKind kind() const override { return TransportKind::message; }
  void send(KvJob const& job) override;
  void receive(KvJob const& job) override;
  bool progress() override;
  bool sent(KvJob const& job) const override;
  bool received(KvJob const& job) override;
  bool forget(KvJob const& job) override;

 private:
  struct Links;
  std::unique_ptr<Links> links_;
};

}  // namespace windlass
