#include "src/sim/shared_prefix.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "src/core/error.hpp"

namespace windlass {

SharedPrefixLatency::SharedPrefixLatency(std::shared_ptr<LatencyModel const> whole, std::int64_t shared_tokens,
                                         double batch_read_share)
    : whole_(std::move(whole)), shared_tokens_(shared_tokens), batch_read_share_(batch_read_share) {}

Microseconds SharedPrefixLatency::step_us(StepWork const& work, int stage) const {
  StepWork with = work;
  // own tokens after s shared ones: (s + n)^2 - s^2 = n^2 + 2 s n
  with.prompt_tokens_squared += 2 * double(shared_tokens_) * double(work.prompt_tokens);
  if (work.sequences > 0) {
    double const reads = std::max(1.0, batch_read_share_ * double(work.sequences));
    with.sequence_context += std::llround(reads * double(shared_tokens_));
  }
  return whole_->step_us(with, stage);
}

PipelineReport simulate(SharedPrefixCluster const& cluster, Workload const& workload) {
  std::int64_t const kept = cluster.kept_tokens();
  PipelineCluster own = cluster.cluster;
  for (PipelineInstance& instance : own.instances) {
    instance.latency = std::make_shared<SharedPrefixLatency>(instance.latency, kept, cluster.batch_read_share);
    if (instance.kv_tokens < unlimited) instance.kv_tokens -= kept;
  }
  Workload rest = workload;
  for (SimRequest& request : rest) {
    if (request.lengths.prompt_tokens <= kept)
      throw InputError("a prompt of " + std::to_string(request.lengths.prompt_tokens) +
                       " tokens is not longer than the shared " + std::to_string(kept) + "; give longer prompts");
    request.lengths.prompt_tokens -= std::int32_t(kept);
  }
  PipelineReport report = simulate(own, rest);
  for (std::size_t i = 0; i < workload.size(); ++i) report.outcomes[i].lengths = workload[i].lengths;
  return report;
}

}  // namespace windlass
