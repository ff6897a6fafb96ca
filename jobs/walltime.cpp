#include "jobs/walltime.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr Microseconds signal_notice_us = 30'000'000;  ///< Slurm's KillWait, unless a site changed it
constexpr Microseconds leave_us = 5'000'000;           ///< for the end of the program, MPI and the requeue

/// A Slurm job id is a number; anything else in the environment is not put into a command.
std::optional<std::string> slurm_job(EnvironmentLookup const& environment) {
  auto const id = environment("SLURM_JOB_ID");
  bool const plain =
      id && !id->empty() && std::all_of(id->begin(), id->end(), [](char c) { return c >= '0' && c <= '9'; });
  return plain ? id : std::nullopt;
}

std::optional<std::int64_t> slurm_end_unix_s(EnvironmentLookup const& environment, std::string& source) {
  if (auto const end = environment("SLURM_JOB_END_TIME")) {
    source = "SLURM_JOB_END_TIME";
    if (std::int64_t const unix_s = std::atoll(end->c_str()); unix_s > 0) return unix_s;
  }
  auto const job = slurm_job(environment);
  if (!job) return std::nullopt;
  source = "scontrol";
  auto const shown = run_tool("scontrol -o show job " + *job);
  if (shown.succeeded) return end_time_of(shown.words);
  log_warning(
      text("scontrol does not tell the end of this job (", shown.words, "); --time-left SECONDS does, or a signal"));
  return std::nullopt;
}

}  // namespace

ToolResult run_tool(std::string const& command) {
  ToolResult result;
  std::FILE* const pipe = ::popen(("timeout 20 " + command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return result;
  char buffer[4096];
  while (std::size_t const got = std::fread(buffer, 1, sizeof buffer, pipe)) result.words.append(buffer, got);
  result.succeeded = ::pclose(pipe) == 0;
  return result;
}

std::optional<std::int64_t> end_time_of(std::string const& scontrol_output) {
  std::string const field = " EndTime=";
  auto const at = scontrol_output.find(field);
  if (at == std::string::npos) return std::nullopt;
  std::tm parts{};
  parts.tm_isdst = -1;
  if (::strptime(scontrol_output.c_str() + at + field.size(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr)
    return std::nullopt;
  std::time_t const unix_s = std::mktime(&parts);
  return unix_s > 0 ? std::optional(std::int64_t(unix_s)) : std::nullopt;
}

Walltime::Walltime(WalltimeConfig const& config, EnvironmentLookup const& environment, DrainSignals const& signals)
    : config_(config), signals_(signals) {
  if (config_.time_left_s > 0) {
    source_ = "--time-left";
    end_us_ = now_us() + Microseconds(config_.time_left_s * 1e6);
    return;
  }
  auto const end = slurm_end_unix_s(environment, source_);
  if (!end) {
    source_.clear();
    return;
  }
  config_.time_left_s = double(*end - std::int64_t(std::time(nullptr)));
  end_us_ = now_us() + Microseconds(config_.time_left_s * 1e6);
}

std::optional<double> Walltime::seconds_left() const {
  return source_.empty() ? std::nullopt : std::optional(config_.time_left_s);
}

TimeLimits Walltime::limits() const {
  TimeLimits limits;
  if (end_us_ != never_us) limits.last_write_us = end_us_ - leave_us;
  auto const within = [&](Microseconds from) {
    Microseconds const notice = std::max(config_.drain_us, signal_notice_us);
    limits.last_step_us = std::min(limits.last_step_us, from + config_.drain_us);
    limits.last_write_us = std::min(limits.last_write_us, from + notice - notice / 10);
  };
  if (Microseconds const at = signals_.terminated_us(); at != never_us) within(at);
  if (Microseconds const at = signals_.drained_us(); at != never_us && end_us_ == never_us) within(at);
  return limits;
}

}  // namespace windlass
