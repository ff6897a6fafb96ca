#include "src/core/log.hpp"

#include <unistd.h>

#include <mutex>
#include <set>
#include <string>

#include "src/core/text.hpp"

namespace windlass {
namespace {

void write_line(std::string const& line) {
  std::size_t done = 0;
  while (done < line.size()) {
    ssize_t const n = ::write(STDERR_FILENO, line.data() + done, line.size() - done);
    if (n <= 0) return;
    done += std::size_t(n);
  }
}

}  // namespace

void log_info(std::string_view message) { write_line(text("windlass: ", message, "\n")); }

void log_warning(std::string_view message) { write_line(text("windlass: warning: ", message, "\n")); }

void log_warning_once(std::string_view message) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> seen;
  {
    std::lock_guard const lock(mutex);
    if (!seen.emplace(message).second) return;
  }
  log_warning(message);
}

}  // namespace windlass
