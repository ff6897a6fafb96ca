/// Who used how much: one line per request, as CSV or JSON lines. Prompts, answers and keys are never in it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace windlass {

/// One request that is over. README.md has the columns.
struct AccountingEntry {
  std::string user, route, request_id;
  char const* outcome = "done";  ///< or "failed", "late", "cancelled" (the client left)
  std::int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  double seconds = 0;              ///< from its arrival to its end
  double first_token_seconds = 0;  ///< 0: none came
};

/// Appends on a thread of its own, a line per write, so that several servers can share a file. Safe from any thread.
class AccountingLog {
 public:
  enum class Form : std::uint8_t { csv, json_lines };
  /// CSV where the path ends in ".csv", with a first line of names where the file is empty. The file is its owner's
  /// alone (0600) where it is made. Throws FileError.
  explicit AccountingLog(std::string path);
  /// Waits until everything is written.
  ~AccountingLog();
  AccountingLog(AccountingLog const&) = delete;
  AccountingLog& operator=(AccountingLog const&) = delete;

  void add(AccountingEntry const& entry);

 private:
  void write_all();
  void write(std::string const& lines);

  std::string const path_;
  Form const form_;
  int file_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string waiting_;  ///< lines
  bool ending_ = false;
  bool failed_ = false;  ///< told once
  std::thread thread_;
};

/// The line of an entry, with its end; `now_s` in seconds since 1970.
std::string accounting_line(AccountingEntry const& entry, AccountingLog::Form form, std::int64_t now_s);

}  // namespace windlass
