#include "src/policy/pool_assignment.hpp"

#include <optional>

namespace windlass {
namespace {

using Choice = std::optional<std::size_t>;

/// The machine of `pool` (of any pool without one) for which `load` is smallest; the first among equals.
template <class Load>
Choice least(PoolAssignmentInput const& in, std::optional<MachinePool> pool, Load const& load) {
  Choice best;
  for (std::size_t i = 0; i < in.machines.size(); ++i) {
    if (pool && in.machines[i].pool != *pool) continue;
    if (!best || load(in.machines[i]) < load(in.machines[*best])) best = i;
  }
  return best;
}

std::int64_t pending(MachineLoad const& machine) { return machine.pending_tokens; }
std::int64_t reserved(MachineLoad const& machine) { return machine.reserved_tokens; }

Choice prompt_machine(PoolAssignmentInput const& in, MachinePool pool) {
  Choice const best = least(in, pool, pending);
  if (!best) return best;
  MachineLoad const& machine = in.machines[*best];
  bool const long_queue =
      machine.queued_tasks > 0 && machine.pending_tokens + in.prompt_tokens > in.max_pending_prompt_tokens;
  return long_queue ? Choice{} : best;
}

Choice token_machine(PoolAssignmentInput const& in, MachinePool pool) {
  Choice const best = least(in, pool, reserved);
  if (!best) return best;
  std::int64_t const needed = in.prompt_tokens + 1 + in.predicted_output_tokens;
  bool const full = in.machines[*best].reserved_tokens + needed >= in.machines[*best].kv_tokens;
  return full ? Choice{} : best;
}

PoolAssignmentStop stop_of(bool prompt_borrowed, bool token_borrowed) {
  if (prompt_borrowed && token_borrowed) return PoolAssignmentStop::both_borrowed;
  if (prompt_borrowed) return PoolAssignmentStop::prompt_borrowed;
  return token_borrowed ? PoolAssignmentStop::token_borrowed : PoolAssignmentStop::home_pools;
}

}  // namespace

PoolAssignmentPlan plan_pool_assignment(PoolAssignmentInput const& in) {
  if (in.machines.empty()) return {.prompt_machine = 0, .token_machine = 0, .stop = PoolAssignmentStop::no_machine};
  Choice prompt = prompt_machine(in, MachinePool::prompt);
  if (!prompt) prompt = prompt_machine(in, MachinePool::mixed);
  Choice token = token_machine(in, MachinePool::token);
  if (!token) token = token_machine(in, MachinePool::mixed);
  bool const borrow_prompt = !prompt, borrow_token = !token;
  if (borrow_prompt) prompt = least(in, MachinePool::token, pending);
  if (borrow_token) token = least(in, MachinePool::prompt, reserved);
  if (!prompt || !token) {
    std::size_t const only = *least(in, std::nullopt, pending);
    return {.prompt_machine = only, .token_machine = only, .stop = PoolAssignmentStop::colocated};
  }
  return {.prompt_machine = *prompt, .token_machine = *token, .stop = stop_of(borrow_prompt, borrow_token)};
}

}  // namespace windlass
