#include "src/policy/pipeline_prefill.hpp"

#include <algorithm>
#include <vector>

namespace windlass {

PipelinePrefillPlan plan_pipeline_prefill(PipelinePrefillInput const& in) {
  PipelinePrefillPlan plan{.chunks = 0, .stage_us = 0, .first_token_us = 0, .stop = PipelinePrefillStop::one_chunk};
  std::vector<double> ready_us(std::size_t(in.stages), 0);  // when each stage has done the chunk before
  std::int64_t const chunk_tokens = in.stages > 1 ? in.chunk_tokens : in.prompt_tokens;  // alone, it would gain nothing
  std::int64_t done = in.cached_tokens;
  do {
    std::int64_t const end = std::min(in.prompt_tokens, done + chunk_tokens);
    double const part_us = in.prefill.at(double(end), double(done)) / in.stages;
    double arrived_us = 0;
    for (double& stage_us : ready_us) {
      stage_us = std::max(stage_us, arrived_us) + part_us;
      arrived_us = stage_us + in.hop_us;
    }
    plan.stage_us += part_us;
    ++plan.chunks;
    done = end;
  } while (done < in.prompt_tokens);
  plan.first_token_us = ready_us.back();
  if (plan.chunks > 1) plan.stop = PipelinePrefillStop::chunked;
  return plan;
}

}  // namespace windlass
