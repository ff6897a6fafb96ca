/// Prompts that begin with the same tokens, kept once and read once for a whole batch (ChunkAttention).
#pragma once

#include <memory>

#include "src/sim/pipeline_cluster.hpp"

namespace windlass {

/// Steps of `own_tokens` prompts: the shared beginning is there already. A prefill attends to it; a decode step reads
/// it once, or `batch_read_share` times for each sequence where that is more (the first of the two phases is not free).
class SharedPrefixLatency final : public LatencyModel {
 public:
  SharedPrefixLatency(std::shared_ptr<LatencyModel const> whole, std::int64_t shared_tokens, double batch_read_share);
  Microseconds step_us(StepWork const& work, int stage) const override;

 private:
  std::shared_ptr<LatencyModel const> whole_;
  std::int64_t shared_tokens_;
  double batch_read_share_;
};

struct SharedPrefixCluster {
  PipelineCluster cluster;  ///< as if nothing were shared
  std::int64_t shared_tokens;
  std::int64_t chunk_tokens = 64;  ///< only whole chunks are shared
  /// Of the private cost that reading the shared part costs a sequence in a batch. Source: ChunkAttention, table 3
  /// (206 of 1,400 us at 4,096 shared tokens and 32 sequences).
  double batch_read_share = 206.0 / 1400;

  std::int64_t kept_tokens() const { return shared_tokens / chunk_tokens * chunk_tokens; }
};

/// As simulate(cluster.cluster, …), with the shared chunks held once by each instance and never computed again. Prompts
/// must be longer than the shared part: throws InputError for a shorter one.
PipelineReport simulate(SharedPrefixCluster const& cluster, Workload const& workload);

}  // namespace windlass
