#include "src/serve/online/accounting_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {
namespace {

constexpr char const* csv_names =
    "time,user,route,request_id,outcome,prompt_tokens,cached_tokens,completion_tokens,seconds,first_token_seconds\n";

std::string utc_time(std::int64_t now_s) {
  std::time_t const time = now_s;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> words{};
  std::strftime(words.data(), words.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return words.data();
}

/// A name with commas or quotes stands in quotes (RFC 4180).
std::string csv_field(std::string const& word) {
  if (word.find_first_of(",\"\r\n") == std::string::npos) return word;
  std::string quoted = "\"";
  for (char const c : word) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

}  // namespace

std::string accounting_line(AccountingEntry const& entry, AccountingLog::Form form, std::int64_t now_s) {
  if (form == AccountingLog::Form::csv)
    return text(utc_time(now_s), ',', csv_field(entry.user), ',', entry.route, ',', entry.request_id, ',',
                entry.outcome, ',', entry.prompt_tokens, ',', entry.cached_tokens, ',', entry.generated_tokens, ',',
                entry.seconds, ',', entry.first_token_seconds, '\n');
  JsonText out;
  out.begin_object().member("time", utc_time(now_s)).member("user", entry.user).member("route", entry.route);
  out.member("request_id", entry.request_id).member("outcome", entry.outcome);
  out.member("prompt_tokens", entry.prompt_tokens).member("cached_tokens", entry.cached_tokens);
  out.member("completion_tokens", entry.generated_tokens).member("seconds", entry.seconds);
  out.member("first_token_seconds", entry.first_token_seconds).end_object();
  return out.take() + "\n";
}

AccountingLog::AccountingLog(std::string path)
    : path_(std::move(path)), form_(path_.ends_with(".csv") ? Form::csv : Form::json_lines) {
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file_ < 0) throw FileError(path_, "open the accounting log", errno);
  struct stat status;
  if (form_ == Form::csv && ::fstat(file_, &status) == 0 && status.st_size == 0) waiting_ = csv_names;
  thread_ = std::thread([this] { write_all(); });
}

AccountingLog::~AccountingLog() {
  {
    std::lock_guard const lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
  ::close(file_);
}

void AccountingLog::add(AccountingEntry const& entry) {
  std::string const line = accounting_line(entry, form_, std::int64_t(std::time(nullptr)));
  {
    std::lock_guard const lock(mutex_);
    waiting_ += line;
  }
  changed_.notify_one();
}

void AccountingLog::write_all() {
  for (bool ending = false; !ending;) {
    std::string lines;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      lines = std::exchange(waiting_, {});
      ending = ending_;
    }
    write(lines);
  }
}

/// A full disk must not stop the server: it is told once.
void AccountingLog::write(std::string const& lines) {
  std::size_t done = 0;
  while (done < lines.size()) {
    ssize_t const written = ::write(file_, lines.data() + done, lines.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      if (!std::exchange(failed_, true))
        log_warning(FileError(path_, "write the accounting log; its entries are lost", errno).what());
      return;
    }
    done += std::size_t(written);
  }
}

}  // namespace windlass
