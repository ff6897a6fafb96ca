/// Elastic instances: any of them form a group for one prefill, KV stays spread over them, groups grow and shrink
/// between iterations (LoongServe).
#pragma once

#include <cstdint>
#include <vector>

#include "src/policy/early_rejection.hpp"
#include "src/policy/elastic_batching.hpp"
#include "src/sim/outcome.hpp"
#include "src/sim/span_log.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

enum class ElasticGrowth : std::uint8_t {
  grows,
  stays  ///< as LoongServe without scaling up: no instance joins a group that decodes, no KV moves, one master
};

struct ElasticCluster {
  std::vector<ElasticDegreeTime> degree_times;  ///< of a prefill over 1, 2, … instances; as many as there are
  StepEstimate step;       ///< of a decode group: sequences and context are shared by its instances
  std::int64_t kv_tokens;  ///< of one instance
  double migration_us_per_token = 0;
  std::int64_t predicted_output_tokens = 1024;  ///< of a sequence, for the memory test
  std::int64_t scale_up_sequences = 100;        ///< of one master: with more, an idle instance joins the group
  std::int64_t steps_between_pauses = 10;       ///< of a group whose instances prompts would take
  ElasticGrowth growth = ElasticGrowth::grows;
  Microseconds max_prefill_us = 500'000;  ///< of prompts that start together; a longer one goes alone
  std::int32_t max_overtaking = 10;       ///< rounds in which prompts may pass one that does not fit
  SpanLog* spans = nullptr;               ///< gets every step; outlives the run
};

struct ElasticReport {
  std::vector<RequestOutcome> outcomes;
  std::int64_t prefill_batches = 0, prefill_instances = 0;  ///< their sum of degrees
  std::int64_t scale_ups = 0, migrations = 0, migrated_tokens = 0;
  std::int64_t pauses = 0;       ///< of decode groups for a prefill
  std::int64_t recomputed = 0;   ///< sequences that lost their KV because a group ran full
  std::int64_t left_tokens = 0;  ///< held at the end: 0 unless something leaked
};

/// Runs the workload to its end; every prefill and every step of every group is an event. A prompt that the whole
/// cluster could not hold is rejected at arrival. Throws InputError without an instance.
ElasticReport simulate(ElasticCluster const& cluster, Workload const& workload);

}  // namespace windlass
