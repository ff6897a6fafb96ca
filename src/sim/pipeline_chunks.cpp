// Prompts in chunks beside decodes, as the engine's own steps: plan_step_batching decides.
#include <algorithm>

#include "src/policy/step_batching.hpp"
#include "src/sim/pipeline_simulation.hpp"

namespace windlass {

void PipelineSimulation::admit_chunked(std::uint32_t index) {
  Instance& instance = instances_[index];
  PipelineInstance const& limits = cluster_.instances[index];
  Stage& stage = instance.stages[0];
  while (!stage.prompts.empty() && std::int64_t(instance.admitted.size()) < limits.max_prompts) {
    std::uint32_t const request = stage.prompts.front();
    if (instance.used_kv_tokens + whole_tokens(request) > limits.kv_tokens) return;
    stage.prompts.pop();
    reserve(index, whole_tokens(request));
    pending_[request] = progress_[request].context;
    instance.admitted.push_back(request);
  }
}

bool PipelineSimulation::start_chunks(std::uint32_t index) {
  admit_chunked(index);
  Instance& instance = instances_[index];
  if (instance.admitted.empty()) return false;
  std::vector<RunningSequence> running;
  for (std::uint32_t const request : instance.admitted)
    running.push_back({.id = SequenceId(request), .pending_tokens = std::uint32_t(std::max(1, pending_[request]))});
  auto plan =
      plan_step_batching({.running = running, .prefill_budget = std::uint32_t(cluster_.instances[index].chunk_tokens)});
  instance.shares = std::move(plan.shares);
  StepWork work;
  for (StepShare const& share : instance.shares) {
    auto const request = std::uint32_t(share.id);
    double const context = progress_[request].context;
    if (pending_[request] == 0) {
      ++work.sequences;
      work.sequence_context += std::int64_t(context);
      continue;
    }
    double const done = context - pending_[request], after = done + share.tokens;
    ++work.prompts;
    work.prompt_tokens += share.tokens;
    work.prompt_tokens_squared += after * after - done * done;
  }
  instance.stages[0].running = Running::chunks;
  launch(index, 0, work);
  return true;
}

void PipelineSimulation::finish_chunks(std::uint32_t index) {
  std::vector<StepShare> const shares = std::move(instances_[index].shares);
  std::vector<std::uint32_t> ended;
  for (StepShare const& share : shares) {
    auto const request = std::uint32_t(share.id);
    if (pending_[request] > 0) {
      pending_[request] -= std::int32_t(share.tokens);
      if (pending_[request] > 0) continue;
      places_[request].phase = Phase::decode;
      if (emit_prefill_token(request)) ended.push_back(request);
    } else {
      ++progress_[request].context;
      if (--progress_[request].steps_left == 0) ended.push_back(request);
    }
  }
  auto& admitted = instances_[index].admitted;
  for (std::uint32_t const request : ended) {
    admitted.erase(std::find(admitted.begin(), admitted.end(), request));
    complete(index, request);
  }
}

}  // namespace windlass
