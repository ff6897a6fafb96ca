/// Which machine prefills a request and which decodes it, chosen together at arrival (Splitwise's cluster scheduler).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace windlass {

/// Where a machine stands now. A machine knows its home pool and returns there once it has no foreign work.
enum class MachinePool : std::uint8_t { prompt, token, mixed };

struct MachineLoad {
  MachinePool pool;
  std::int64_t pending_tokens;   ///< prompt tokens assigned and not yet run, and 1 for each assigned decode
  std::int64_t queued_tasks;     ///< not yet in a batch
  std::int64_t reserved_tokens;  ///< KV, predicted output included
  std::int64_t kv_tokens;        ///< pool
};

struct PoolAssignmentInput {
  std::span<MachineLoad const> machines;  ///< [machines]
  std::int64_t prompt_tokens;
  std::int64_t predicted_output_tokens;
  std::int64_t max_pending_prompt_tokens = 8192;  ///< of a machine whose queue is not empty
};

enum class PoolAssignmentStop : std::uint8_t {
  home_pools,       ///< both machines are of their own or the mixed pool
  prompt_borrowed,  ///< the prompt's machine was taken from the token pool
  token_borrowed,   ///< the decode's machine was taken from the prompt pool
  both_borrowed,
  colocated,  ///< nothing was left to borrow: both phases on one machine
  no_machine,
};

struct PoolAssignmentPlan {
  std::size_t prompt_machine, token_machine;  ///< indices; a borrowed one joins the mixed pool
  PoolAssignmentStop stop;
};

/// Shortest queue of tokens for the prompt, least reserved KV for the decode; own pool first, then the mixed pool,
/// then a machine of the other pool. Local, pure, no errors. Source: Splitwise (ISCA'24), section IV-A.
PoolAssignmentPlan plan_pool_assignment(PoolAssignmentInput const& in);

}  // namespace windlass
