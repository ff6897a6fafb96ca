#include "src/serve/batch_job.hpp"

#include <algorithm>
#include <utility>

#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr int lines_per_step = 256;  // so that a run of bad lines does not keep the engine from its step
constexpr auto patience = std::chrono::milliseconds(50);  ///< of an idle engine for the next line

}  // namespace

BatchEnd BatchJob::run() {
  while (keep_going()) {
    if (!draining_) take_lines();
    parts_.runner.step();
    take_answers();
    parts_.writer.settle();
    parts_.on_progress();
  }
  bool const remains = !open_.empty() || run_errors_ > 0 || (draining_ && !parts_.input.exhausted());
  if (parts_.input.exhausted()) parts_.runner.input_ended();
  if (remains) {
    parts_.runner.save_progress(limits().last_write_us);
    take_answers();  // that came meanwhile
  }
  cancel_all();
  if (!draining_) parts_.input.check();
  return remains ? BatchEnd::again : BatchEnd::done;
}

TimeLimits BatchJob::limits() {
  if (parts_.limits) return parts_.limits();
  if (!parts_.drain_wanted()) return {};
  if (drain_end_us_ == never_us) drain_end_us_ = now_us() + config_.drain_us;
  return {.last_step_us = drain_end_us_};
}

bool BatchJob::keep_going() {
  TimeLimits const known = limits();
  bool const drains = parts_.drain_wanted();
  WalltimeInput const in{.now_us = now_us(),
                         .end_us = known.last_write_us,
                         .last_step_us = known.last_step_us,
                         .save_us = known.last_write_us == never_us ? 0 : parts_.runner.save_us(),
                         .finish_us = config_.drain_us,
                         .drain_wanted = drains};
  auto const plan = plan_walltime(in);
  if (config_.plan_log != nullptr) config_.plan_log->add(in, plan);
  if (!draining_ && plan.phase != WalltimePhase::admit) begin_to_drain(plan);
  if (plan.phase == WalltimePhase::stop) return false;
  return !open_.empty() || (!draining_ && !parts_.input.exhausted());
}

void BatchJob::begin_to_drain(WalltimePlan const& plan) {
  draining_ = true;
  auto const seconds = std::max<Microseconds>(0, plan.stop_us - now_us()) / 1'000'000;
  log_info(text(parts_.drain_wanted() ? "" : "the time limit is near; ", "draining: finishing ", open_.size(),
                " running requests, at most ", seconds, " s; the rest stays for the next run"));
}

void BatchJob::take_lines() {
  for (int taken = 0; taken < lines_per_step && open_.size() < std::size_t(config_.max_requests_running); ++taken) {
    bool const idle = open_.empty();
    auto line = parts_.input.next(idle ? std::chrono::microseconds(patience) : std::chrono::microseconds(0));
    if (!line) return;
    start(std::move(*line));
  }
}

void BatchJob::start(PreparedLine line) {
  if (auto* const problem = std::get_if<ApiError::Details>(&line.content)) {
    parts_.writer.write({.head = std::move(line.head), .input_bytes = line.bytes, .content = std::move(*problem)});
    return;
  }
  auto const open = std::make_shared<OpenLine>(OpenLine{.head = std::move(line.head),
                                                        .request = std::move(std::get<ApiRequest>(line.content)),
                                                        .input_bytes = line.bytes});
  open->missing = open->request.prompts.size();
  open->answers.resize(open->missing);
  for (std::size_t index = 0; index < open->answers.size(); ++index) {
    Request request = engine_request(open->request, index, open->head.custom_id, config_.job_seed);
    request.id = RequestId(next_request_++);
    open_.emplace(number(request.id), OpenPrompt{open, index});
    parts_.runner.submit(std::move(request));
  }
}

void BatchJob::take_answers() {
  for (Answer& answer : parts_.runner.take_answers()) finish(std::move(answer));
}

void BatchJob::finish(Answer answer) {
  auto const at = open_.find(number(answer.id));
  if (at == open_.end()) return;  // cancelled
  OpenPrompt const prompt = std::move(at->second);
  open_.erase(at);
  OpenLine& line = *prompt.line;
  --line.missing;
  if (!answer.error.empty()) return fail(line, answer);
  line.answers[prompt.index] = std::move(answer);
  if (line.missing > 0) return;
  parts_.writer.write({.head = std::move(line.head),
                       .input_bytes = line.input_bytes,
                       .content = FinishedLine::Answered{std::move(line.request), std::move(line.answers)}});
}

/// An error of the input, or a final one, is the line's record. Another error of the run is not written, so that the
/// next run tries again.
void BatchJob::fail(OpenLine const& line, Answer const& answer) {
  std::erase_if(open_, [&](auto const& entry) {  // its other prompts
    bool const same = entry.second.line.get() == &line;
    if (same) parts_.runner.cancel(RequestId(entry.first));
    return same;
  });
  if (answer.error_is_input || answer.error_is_final) {
    ApiError::Details problem{.message = answer.error, .param = "", .code = "invalid_value"};
    if (!answer.error_is_input)
      problem = {.message = answer.error, .param = "", .code = "instance_lost", .status = 500};
    parts_.writer.write({.head = line.head, .input_bytes = line.input_bytes, .content = std::move(problem)});
    return;
  }
  ++run_errors_;
  log_warning(text("'", line.head.custom_id, "' failed and stays for the next run: ", answer.error));
}

void BatchJob::cancel_all() {
  for (auto const& [request, prompt] : open_) parts_.runner.cancel(RequestId(request));
  open_.clear();
}

}  // namespace windlass
