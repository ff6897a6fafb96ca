/// How many idle instances join a group that decodes (LoongServe's scale-up), and how many of its instances are
/// masters.
#pragma once

#include <cstdint>

namespace windlass {

struct ElasticScalingInput {
  std::int64_t sequences, instances;  ///< of the group
  std::int64_t free_tokens;           ///< of its pools
  std::int64_t idle_instances;        ///< that nobody uses
  std::int64_t max_sequences = 100;   ///< of one instance: with more, computing binds
  std::int64_t instance_tokens;       ///< pool of one instance
};

enum class ElasticScalingStop : std::uint8_t { enough, for_compute, for_memory, nothing_idle };

struct ElasticScalingPlan {
  std::int64_t added;             ///< instances; no KV moves: new tokens go to them
  std::int64_t master_sequences;  ///< of the busiest master: it computes all but the attention of these
  ElasticScalingStop stop;
};

/// One more where the sequences are too many for the instances, and as many as hold the next token of each where the
/// pools are full. A further master only for what exceeds `max_sequences` of the others. Local, pure, no errors.
/// Source: LoongServe (SOSP'24), section 5.4.
ElasticScalingPlan plan_elastic_scaling(ElasticScalingInput const& in);

}  // namespace windlass
