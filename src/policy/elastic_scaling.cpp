#include "src/policy/elastic_scaling.hpp"

#include <algorithm>

namespace windlass {

ElasticScalingPlan plan_elastic_scaling(ElasticScalingInput const& in) {
  std::int64_t const lacking = std::max<std::int64_t>(0, in.sequences - in.free_tokens);
  std::int64_t const for_memory = (lacking + in.instance_tokens - 1) / in.instance_tokens;
  std::int64_t const for_compute = in.sequences > in.max_sequences * in.instances ? 1 : 0;
  std::int64_t const wanted = std::max(for_memory, for_compute);
  if (wanted == 0) return {.added = 0, .stop = ElasticScalingStop::enough};
  if (in.idle_instances == 0) return {.added = 0, .stop = ElasticScalingStop::nothing_idle};
  return {.added = std::min(wanted, in.idle_instances),
          .stop = for_memory > 0 ? ElasticScalingStop::for_memory : ElasticScalingStop::for_compute};
}

}  // namespace windlass
