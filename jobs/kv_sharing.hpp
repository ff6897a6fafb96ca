/// How the instances of a job get at each other's KV: chosen once, at its start.
#pragma once

#include <memory>
#include <string>

#include "jobs/cluster.hpp"
#include "mpi/kv_transport.hpp"
#include "mpi/shared_pools.hpp"
#include "mpi/window_transport.hpp"

namespace windlass {

/// Between load_engine() and Cluster. With "auto", pages change hands where both ranks of a link map the same memory
/// and the lender has pages to spare; else they are copied into windows, or in messages where MPI has no windows.
class KvSharing {
 public:
  /// Collective over the job. Ranks whose pages shall be shared take equally many of them: the least that one has room
  /// for. Instances of several ranks hold parts of pages, and share none. `setup` is null on a rank that computes
  /// nothing.
  KvSharing(MpiJob const& job, ClusterPlan const& plan, EngineSetup* setup, std::string const& wanted);

  /// The place with memory that others can reach, for start_engine().
  EnginePlace place(EnginePlace own) const;

  /// Collective over the job, with the engines of all ranks: connects what was reserved. Throws the same InputError on
  /// every rank where the transport that was asked for cannot be. Null where no KV has to move.
  std::unique_ptr<KvTransport> connect(MpiJob const& job, ClusterPlan const& plan,
                                       std::vector<PoolRegion> const& regions);
  /// Null: nothing is shared.
  std::shared_ptr<SharedPools> pools() const { return pools_; }
  /// See WorkerConfig: where nothing else was wanted, pages are lent even if few are left.
  double most_lent_share() const { return wanted_ == "shared" ? 1 : WorkerConfig{}.most_lent_share; }
  /// What plain MPI moves over the first link whose KV is copied, or over the first one, measured by connect().
  double link_gb_per_s() const { return link_gb_per_s_; }
  /// In words; empty where no KV has to move.
  std::string const& name() const { return name_; }

 private:
  bool connect_pools(ClusterPlan const& plan);
  void measure(MpiJob const& job, KvLink const& link);

  std::string wanted_, name_;
  double link_gb_per_s_ = 0;
  std::shared_ptr<SharedPools> pools_;
};

/// The memory of an engine's own pages, as transports address it.
std::vector<PoolRegion> regions_of(std::span<LayerGroup const> groups);

}  // namespace windlass
