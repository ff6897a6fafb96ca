#include "jobs/allocations.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <thread>

#include "jobs/walltime.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/policy/walltime.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

constexpr int requeue_attempts = 3;  ///< the controller of a busy cluster does not always answer in time

bool further(BatchProgressMark const& now, BatchProgressMark const& before) {
  return now.records > before.records || now.saved_tokens > before.saved_tokens;
}

/// Where the file is damaged, counting begins anew: it is an account, no promise.
boost::json::object read_log(std::string const& path) {
  auto const content = read_small_file(path);
  if (!content) return {};
  boost::json::error_code failed;
  auto value = boost::json::parse(*content, failed);
  if (failed || !value.is_object()) {
    log_warning(text(path, ": cannot be read; allocations are counted anew"));
    return {};
  }
  return value.as_object();
}

std::int64_t number_of(boost::json::object const& log, char const* name) {
  auto const* const value = log.if_contains(name);
  return value != nullptr && value->is_int64() ? value->as_int64() : 0;
}

}  // namespace

AllocationLog::AllocationLog(std::string const& output_path, BatchProgressMark const& now) : begin_(now) {
  if (output_path == "-") return;
  std::string const path = output_path + ".windlass.allocations.json";
  boost::json::object log = read_log(path);
  BatchProgressMark const before{.records = number_of(log, "records"), .saved_tokens = number_of(log, "saved_tokens")};
  if (log.contains("allocations") && now.records >= before.records) {  // else the output was begun anew
    allocations_ = int(number_of(log, "allocations")) + 1;
    without_progress_ = further(now, before) ? 0 : int(number_of(log, "without_progress")) + 1;
  }
  log = {{"format", 1},
         {"allocations", allocations_},
         {"without_progress", without_progress_},
         {"records", now.records},
         {"saved_tokens", now.saved_tokens}};
  replace_file(path, boost::json::serialize(log) + "\n");
}

int AllocationLog::without_progress(BatchProgressMark const& end) const {
  return further(end, begin_) ? 0 : without_progress_ + 1;
}

RequeueResult requeue_job(EnvironmentLookup const& environment, int without_progress, PlanLog* plan_log) {
  auto const job = environment("SLURM_JOB_ID");
  bool const plain =
      job && !job->empty() && std::all_of(job->begin(), job->end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!plain) {
    log_warning("--requeue: this is no Slurm job (SLURM_JOB_ID is not set); start the same command again yourself");
    return RequeueResult::no_batch_system;
  }
  RequeueInput const in{.without_progress = without_progress};
  RequeueChoice const choice = plan_requeue(in);
  if (plan_log != nullptr) plan_log->add(in, choice);
  if (choice == RequeueChoice::no_progress) {
    log_warning(text("--requeue: ", without_progress,
                     " allocations in a row got no further; not requeued. A longer time "
                     "limit, fewer --max-num-seqs or a --checkpoint folder may help"));
    return RequeueResult::no_progress;
  }
  log_info(text("job ", *job, " is requeued"));
  ToolResult asked;
  for (int attempt = 0; attempt < requeue_attempts && !asked.succeeded; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
    asked = run_tool("scontrol requeue " + *job);
  }
  if (asked.succeeded) return RequeueResult::requeued;
  log_warning(text("scontrol requeue ", *job, " failed: ", asked.words,
                   " (is it a batch job that may be requeued?); submit the same command again"));
  return RequeueResult::refused;
}

}  // namespace windlass
