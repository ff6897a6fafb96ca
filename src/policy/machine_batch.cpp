#include "src/policy/machine_batch.hpp"

namespace windlass {
namespace {

class Filling {
 public:
  explicit Filling(MachineBatchInput const& in) : in_(in), free_(in.free_kv_tokens), taken_(in.waiting.size()) {}

  /// Adds the waiting tasks that `wanted` names until one does not fit.
  template <class Wanted>
  void add_waiting(Wanted const& wanted) {
    for (std::uint32_t i = 0; i < in_.waiting.size(); ++i) {
      MachineTask const& task = in_.waiting[i];
      if (taken_[i] || !wanted(task)) continue;
      if (!fits(task)) return;
      if (task.state == TaskState::pending) free_ -= task.kv_tokens;
      taken_[i] = true;
      plan_.waiting.push_back(i);
      count(task);
    }
  }

  void add_running() {
    for (std::uint32_t i = 0; i < in_.running.size() && fits(in_.running[i]); ++i) {
      plan_.running.push_back(i);
      count(in_.running[i]);
    }
  }

  MachineBatchPlan take() { return std::move(plan_); }

 private:
  bool fits(MachineTask const& task) {
    MachineBatchStop stop = MachineBatchStop::all_chosen;
    if (tasks_ == in_.max_tasks)
      stop = MachineBatchStop::too_many_tasks;
    else if (tasks_ > 0 && tokens_ + task.step_tokens > in_.max_tokens)
      stop = MachineBatchStop::token_limit;
    else if (task.state == TaskState::pending && task.kv_tokens > free_)
      stop = MachineBatchStop::no_free_kv;
    if (plan_.stop == MachineBatchStop::all_chosen) plan_.stop = stop;
    return stop == MachineBatchStop::all_chosen;
  }

  void count(MachineTask const& task) {
    ++tasks_;
    tokens_ += task.step_tokens;
  }

  MachineBatchInput const& in_;
  std::int64_t free_, tokens_ = 0, tasks_ = 0;
  std::vector<bool> taken_;
  MachineBatchPlan plan_{.waiting = {}, .running = {}, .stop = MachineBatchStop::all_chosen};
};

}  // namespace

MachineBatchPlan plan_machine_batch(MachineBatchInput const& in) {
  Filling filling(in);
  filling.add_waiting([&](MachineTask const& task) { return task.passed_over >= in.max_passed_over; });
  filling.add_waiting([](MachineTask const& task) { return task.phase == TaskPhase::prompt; });
  filling.add_waiting([](MachineTask const& task) { return task.state == TaskState::blocked; });
  filling.add_running();
  filling.add_waiting([](MachineTask const&) { return true; });
  return filling.take();
}

}  // namespace windlass
