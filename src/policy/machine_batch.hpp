/// What one machine runs in its next step (Splitwise's machine scheduler): prompts first, with bounded preemption.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/core/ids.hpp"

namespace windlass {

enum class TaskPhase : std::uint8_t { prompt, token };

enum class TaskState : std::uint8_t {
  pending,  ///< never ran here: its pages must be reserved
  blocked,  ///< preempted: it keeps its pages
  running,  ///< a token task of the step before
};

struct MachineTask {
  SequenceId id;
  TaskPhase phase;
  TaskState state;
  std::int64_t step_tokens;  ///< prompt tokens, or 1
  std::int64_t kv_tokens;    ///< to reserve when a pending task starts
  std::int32_t passed_over;  ///< steps that ran without it
};

struct MachineBatchInput {
  std::span<MachineTask const> waiting;  ///< pending and blocked, oldest arrival first
  std::span<MachineTask const> running;  ///< token tasks of the step before
  std::int64_t free_kv_tokens;
  std::int64_t max_tokens = 2048;  ///< of one step; one longer prompt may go first
  std::int64_t max_tasks = 512;
  std::int32_t max_passed_over = 4;  ///< a task passed over so often goes first
};

enum class MachineBatchStop : std::uint8_t { all_chosen, too_many_tasks, token_limit, no_free_kv };

struct MachineBatchPlan {
  std::vector<std::uint32_t> waiting;  ///< indices into `waiting`, in order
  std::vector<std::uint32_t> running;  ///< indices into `running` that go on; the others are preempted
  MachineBatchStop stop;               ///< what kept the first task out
};

/// Aged tasks, then prompts, then preempted tokens, then running tokens, then other tokens; each group first come,
/// first served. Local, pure, no errors. Source: Splitwise (ISCA'24), section IV-B.
MachineBatchPlan plan_machine_batch(MachineBatchInput const& in);

}  // namespace windlass
