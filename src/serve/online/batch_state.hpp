/// A batch of the endpoint: what is known of it, as users see it and as it is on disk.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

enum class BatchStatus : std::uint8_t {
  validating,
  in_progress,
  finalizing,
  completed,
  failed,
  expired,
  cancelling,
  cancelled
};
char const* status_name(BatchStatus status);
bool is_over(BatchStatus status);

struct BatchProblem {
  std::string code, message;
  std::int64_t line = 0;  ///< counted from 1; 0: of no line
};

struct BatchState {
  std::string id;  ///< "batch_" and 32 hexadecimal digits
  std::string user, endpoint, input_file;
  boost::json::object metadata;
  BatchStatus status = BatchStatus::validating;
  std::map<std::string, std::int64_t> times;  ///< "created_at", "expires_at" … : seconds since 1970
  std::string output_file, error_file;        ///< ids; empty: none
  std::int64_t total = 0, completed = 0, failed = 0;
  std::vector<BatchProblem> problems;
  std::uint64_t seed = 0;  ///< of requests that have none

  /// The next status, at this time.
  void enter(BatchStatus next, std::int64_t now_s);
};

/// OpenAI's batch object.
std::string batch_json(BatchState const& batch);

/// The same with user and seed, and back. Throws std::exception where it is not one.
std::string stored_batch_json(BatchState const& batch);
BatchState parse_stored_batch(std::string_view json);

}  // namespace windlass
