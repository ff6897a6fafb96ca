/// Writes answers as records on its own thread, beside the engine's steps.
#pragma once

#include <atomic>
#include <exception>
#include <thread>
#include <variant>
#include <vector>

#include "src/serve/batch_statistics.hpp"
#include "src/serve/bounded_queue.hpp"
#include "src/serve/openai_answer.hpp"
#include "src/store/line_writer.hpp"

namespace windlass {

/// A request with its answers, or a line that has none.
struct FinishedLine {
  RecordHead head;
  std::uint64_t input_bytes = 0;
  struct Answered {
    ApiRequest request;
    std::vector<Answer> answers;  ///< one per prompt
  };
  std::variant<Answered, ApiError::Details> content;
};

class AnswerWriter {
 public:
  /// `lines`, `ledger` and `tokenizer` (may be null) must outlive this.
  AnswerWriter(LineWriter& lines, BatchLedger& ledger, Tokenizer const* tokenizer);
  ~AnswerWriter();
  AnswerWriter(AnswerWriter const&) = delete;
  AnswerWriter& operator=(AnswerWriter const&) = delete;

  /// Waits while the disk is far behind. Throws FileError if a record could not be written.
  void write(FinishedLine line);
  /// Counts what has become durable; throws FileError if a record could not be written. Cheap.
  void settle();
  /// Waits until every record is durable and counted. Throws FileError where one is not.
  void close();

 private:
  void write_all();
  void write_record(FinishedLine line);

  LineWriter& lines_;
  BatchLedger& ledger_;
  Tokenizer const* tokenizer_;
  BoundedQueue<FinishedLine> queue_;
  std::exception_ptr problem_;
  std::atomic<bool> failed_ = false;  ///< set after problem_
  std::jthread thread_;
};

}  // namespace windlass
