/// Reads, checks and tokenises the lines of a batch on its own thread, a bounded way ahead of the engine.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "src/serve/bounded_queue.hpp"
#include "src/serve/jsonl_reader.hpp"
#include "src/serve/openai_answer.hpp"
#include "src/serve/openai_request.hpp"
#include "src/store/key_set.hpp"

namespace windlass {

struct BatchInputConfig {
  std::size_t max_line_bytes = std::size_t{64} << 20;
  std::size_t look_ahead_bytes = std::size_t{16} << 20;  ///< of prepared requests that wait for the engine
};

/// A line that needs an answer: a request for the engine, or what is wrong with it.
struct PreparedLine {
  RecordHead head;  ///< created_s is not set
  std::variant<ApiRequest, ApiError::Details> content;
  std::uint64_t bytes = 0;  ///< of the input, for the progress
};

/// The thread starts in the constructor and ends with the input, or when this is destroyed.
class BatchInput {
 public:
  /// `rules` and `finished` (keys of records that an earlier run wrote) must outlive this.
  BatchInput(std::unique_ptr<InputStream> stream, RequestRules const& rules, KeySet const& finished,
             BatchInputConfig const& config);
  ~BatchInput();
  BatchInput(BatchInput const&) = delete;
  BatchInput& operator=(BatchInput const&) = delete;

  /// The next line, waiting at most `patience`. Nothing where none came in time, or none will.
  std::optional<PreparedLine> next(std::chrono::microseconds patience) { return queue_.pop(patience); }
  bool exhausted() const { return queue_.exhausted(); }
  /// Throws what stopped the reading early, if anything did. Call it once the input is exhausted.
  void check() const;

  std::uint64_t skipped_lines() const { return skipped_lines_; }  ///< answered by an earlier run
  std::uint64_t skipped_bytes() const { return skipped_bytes_; }
  /// Decompressed bytes of the whole input; an estimate while compressed data is read, nothing for pipes.
  std::optional<double> total_bytes() const;

 private:
  void read_all();
  PreparedLine prepare(JsonlLine const& line);
  std::variant<ApiRequest, ApiError::Details> request_of(boost::json::object line, std::string_view custom_id) const;

  std::unique_ptr<InputStream> stream_;
  RequestRules const& rules_;
  KeySet const& finished_;
  BatchInputConfig const config_;
  JsonlReader reader_;
  KeySet seen_;  ///< custom_ids of this pass over the input
  BoundedQueue<PreparedLine> queue_;
  std::atomic<std::uint64_t> skipped_lines_ = 0, skipped_bytes_ = 0;
  std::exception_ptr problem_;  ///< written before the queue ends
  std::jthread thread_;
};

/// The journal's key of a request, and of the error record of a line whose custom_id was used before.
Hash128 request_key(std::string_view custom_id);
Hash128 duplicate_key(std::string_view custom_id, std::uint64_t line_number);

}  // namespace windlass
