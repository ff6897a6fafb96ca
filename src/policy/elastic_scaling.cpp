#include "src/policy/elastic_scaling.hpp"

#include <algorithm>

namespace windlass {
namespace {

std::int64_t master_sequences(ElasticScalingInput const& in, std::int64_t instances) {
  std::int64_t const even = (in.sequences + instances - 1) / instances;
  return std::min(in.sequences, std::max(even, in.max_sequences));
}

}  // namespace

ElasticScalingPlan plan_elastic_scaling(ElasticScalingInput const& in) {
  std::int64_t const lacking = std::max<std::int64_t>(0, in.sequences - in.free_tokens);
  std::int64_t const for_memory = (lacking + in.instance_tokens - 1) / in.instance_tokens;
  std::int64_t const for_compute = in.sequences > in.max_sequences * in.instances ? 1 : 0;
  std::int64_t const wanted = std::max(for_memory, for_compute), added = std::min(wanted, in.idle_instances);
  ElasticScalingPlan plan{.added = added,
                          .master_sequences = master_sequences(in, in.instances + added),
                          .stop = ElasticScalingStop::enough};
  if (wanted > 0) plan.stop = for_memory > 0 ? ElasticScalingStop::for_memory : ElasticScalingStop::for_compute;
  if (wanted > 0 && in.idle_instances == 0) plan.stop = ElasticScalingStop::nothing_idle;
  return plan;
}

}  // namespace windlass
