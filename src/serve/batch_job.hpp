/// The loop of `windlass batch`: lines in, steps of the engine, records out.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "src/core/clock.hpp"
#include "src/policy/plan_log.hpp"
#include "src/policy/walltime.hpp"
#include "src/serve/answer_writer.hpp"
#include "src/serve/batch_input.hpp"
#include "src/serve/request_runner.hpp"

namespace windlass {

enum class BatchEnd : std::uint8_t {
  done,  ///< every line has its record
  again  ///< work remains for the next run
};

struct BatchJobConfig {
  int max_requests_running = 64;  ///< given to the engine at once
  Microseconds drain_us = 30'000'000;
  std::uint64_t job_seed = 0;
  PlanLog* plan_log = nullptr;  ///< gets every look at the time that is left
};

/// Times on the job clock; never_us: not known.
struct TimeLimits {
  Microseconds last_step_us = never_us;   ///< running requests may go on until then
  Microseconds last_write_us = never_us;  ///< everything must be on disk by then
};

/// Everything must outlive the job. The functions are called from the loop's thread, at least ten times a second.
struct BatchJobParts {
  RequestRunner& runner;
  BatchInput& input;
  AnswerWriter& writer;
  std::function<bool()> drain_wanted;  ///< true from the moment on at which running requests shall only be finished
  std::function<void()> on_progress;
  /// What is known of the job's end. Null: nothing, and a drain ends the steps after BatchJobConfig::drain_us.
  std::function<TimeLimits()> limits = nullptr;
};

/// Local; run() is called once.
class BatchJob {
 public:
  BatchJob(BatchJobParts parts, BatchJobConfig const& config) : parts_(std::move(parts)), config_(config) {}

  /// Ends when the input is answered, or after a drain. Records may still be on their way: close the writer. Throws
  /// what the input or the writer throws; what was answered until then is written all the same.
  BatchEnd run();

  std::int64_t run_errors() const { return run_errors_; }  ///< requests to be tried again by a later run

 private:
  /// A line that the engine works on.
  struct OpenLine {
    RecordHead head;
    ApiRequest request;
    std::vector<Answer> answers;
    std::size_t missing = 0;  ///< answers that have not come yet
    std::uint64_t input_bytes = 0;
  };
  struct OpenPrompt {
    std::shared_ptr<OpenLine> line;
    std::size_t index = 0;
  };

  bool keep_going();
  TimeLimits limits();
  void begin_to_drain(WalltimePlan const& plan);
  void take_lines();
  void start(PreparedLine line);
  void take_answers();
  void finish(Answer answer);
  void fail(OpenLine const& line, Answer const& answer);
  void cancel_all();

  BatchJobParts parts_;
  BatchJobConfig config_;
  std::unordered_map<std::uint64_t, OpenPrompt> open_;  ///< by request id
  std::uint64_t next_request_ = 1;
  std::int64_t run_errors_ = 0;
  Microseconds drain_end_us_ = never_us;  ///< of a drain that nothing else ends
  bool draining_ = false;
};

}  // namespace windlass
