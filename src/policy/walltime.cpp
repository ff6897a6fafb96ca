#include "src/policy/walltime.hpp"

#include <algorithm>
#include <numeric>

namespace windlass {
namespace {

double time_of(std::uint64_t bytes, double bytes_per_us) { return bytes_per_us > 0 ? double(bytes) / bytes_per_us : 0; }

}  // namespace

WalltimePlan plan_walltime(WalltimeInput const& in) {
  WalltimePlan plan;
  bool const has_end = in.end_us != never_us;
  Microseconds const last_us = has_end ? in.end_us - in.leave_us - in.save_us : never_us;
  plan.stop_us = std::min(last_us, in.last_step_us);
  if (plan.stop_us <= in.now_us)
    plan.phase = WalltimePhase::stop;
  else if (in.drain_wanted || (has_end && last_us - in.finish_us <= in.now_us))
    plan.phase = WalltimePhase::finish;
  return plan;
}

SavePlan plan_save(SaveInput const& in) {
  SavePlan plan{.choices = std::vector(in.work.size(), SaveChoice::save)};
  std::vector<double> gain_us(in.work.size()), write_us(in.work.size());
  for (std::size_t i = 0; i < in.work.size(); ++i) {
    UnfinishedWork const& work = in.work[i];
    write_us[i] = time_of(work.new_bytes, in.write_bytes_per_us);
    double const both_us = write_us[i] + time_of(work.bytes, in.read_bytes_per_us);
    bool const known = in.compute_tokens_per_us > 0;
    gain_us[i] =
        known ? double(work.computed_tokens) / in.compute_tokens_per_us - both_us : double(work.computed_tokens);
    if (known && gain_us[i] < -double(in.worthwhile_us)) plan.choices[i] = SaveChoice::recompute_is_cheaper;
  }
  std::vector<std::size_t> order(in.work.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return gain_us[a] * (write_us[b] + 1) > gain_us[b] * (write_us[a] + 1);
  });
  double spent_us = 0;
  for (std::size_t const i : order) {
    if (plan.choices[i] != SaveChoice::save) continue;
    if (in.time_us != never_us && spent_us + write_us[i] > double(in.time_us))
      plan.choices[i] = SaveChoice::no_time;
    else
      spent_us += write_us[i];
  }
  plan.write_us = Microseconds(spent_us);
  return plan;
}

RequeueChoice plan_requeue(RequeueInput const& in) {
  return in.without_progress >= in.most_without_progress ? RequeueChoice::no_progress : RequeueChoice::requeue;
}

}  // namespace windlass
