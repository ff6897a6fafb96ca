#include "src/serve/answer_writer.hpp"

#include <ctime>

namespace windlass {
namespace {

constexpr std::size_t queue_capacity = std::size_t{16} << 20;

std::size_t weight_of(FinishedLine const& line) {
  std::size_t weight = 512;
  if (auto const* answered = std::get_if<FinishedLine::Answered>(&line.content))
    for (Answer const& answer : answered->answers) {
      weight += answer.prompt_logprobs.size() * sizeof(PositionLogprobs);
      for (Choice const& choice : answer.choices)
        weight += choice.text.size() + 8 * choice.tokens.size() + choice.logprobs.size() * sizeof(PositionLogprobs);
    }
  return weight;
}

RecordOutcome::Latency latency_of(Answer const& answer) {
  RecordOutcome::Latency latency{.ttft_us = double(answer.first_token_us - answer.submitted_us)};
  std::size_t longest = 0;
  for (Choice const& choice : answer.choices) longest = std::max(longest, choice.tokens.size());
  if (longest > 1) latency.tpot_us = double(answer.finished_us - answer.first_token_us) / double(longest - 1);
  return latency;
}

RecordOutcome outcome_of(FinishedLine::Answered const& answered) {
  RecordOutcome outcome{.prompt_tokens = std::int64_t(answered.request.prompt_tokens())};
  for (Answer const& answer : answered.answers) {
    outcome.cached_tokens += answer.cached_tokens;
    for (Choice const& choice : answer.choices) outcome.generated_tokens += std::int64_t(choice.tokens.size());
    if (answer.first_token_us > 0) outcome.latencies.push_back(latency_of(answer));
  }
  return outcome;
}

}  // namespace

AnswerWriter::AnswerWriter(LineWriter& lines, BatchLedger& ledger, Tokenizer const* tokenizer)
    : lines_(lines), ledger_(ledger), tokenizer_(tokenizer), queue_(queue_capacity), thread_([this] { write_all(); }) {}

AnswerWriter::~AnswerWriter() { queue_.end(); }

void AnswerWriter::write(FinishedLine line) {
  std::size_t const weight = weight_of(line);
  if (!queue_.push(std::move(line), weight)) settle();
}

void AnswerWriter::settle() {
  if (failed_) std::rethrow_exception(problem_);
  if (std::string const failure = lines_.failure(); !failure.empty()) throw FileError(failure);
  ledger_.settle(lines_.durable());
}

void AnswerWriter::close() {
  queue_.end();
  if (thread_.joinable()) thread_.join();
  try {
    if (failed_) std::rethrow_exception(problem_);
    lines_.close();
  } catch (...) {
    ledger_.settle(lines_.durable());  // the table shows what is safe
    throw;
  }
  ledger_.settle(lines_.durable());
}

void AnswerWriter::write_all() {
  try {
    while (auto line = queue_.pop()) write_record(std::move(*line));
  } catch (...) {
    problem_ = std::current_exception();
    failed_ = true;
    queue_.stop();
  }
}

void AnswerWriter::write_record(FinishedLine line) {
  line.head.created_s = std::int64_t(std::time(nullptr));
  RecordOutcome outcome;
  std::string record;
  if (auto const* answered = std::get_if<FinishedLine::Answered>(&line.content)) {
    outcome = outcome_of(*answered);
    record = answer_record(line.head, answered->request, answered->answers, tokenizer_);
  } else {
    auto const& problem = std::get<ApiError::Details>(line.content);
    outcome.kind = problem.status < 500 ? RecordOutcome::Kind::input_error : RecordOutcome::Kind::failed;
    record = error_record(line.head, problem);
  }
  outcome.input_bytes = line.input_bytes;
  ledger_.add(lines_.append(record), std::move(outcome));
}

}  // namespace windlass
