#include "jobs/console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr int bar_characters = 24;
constexpr double shortest_measure_s = 1;

/// A line that breaks would not be drawn over.
std::size_t terminal_columns() {
  winsize size{};
  bool const known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20;
  return known ? size.ws_col : 80;
}

}  // namespace

ProgressStyle progress_style_of_standard_error() {
  return ::isatty(STDERR_FILENO) ? ProgressStyle::bar : ProgressStyle::lines;
}

void ProgressConsole::update(std::function<BatchProgress()> const& progress) {
  if (style_ == ProgressStyle::none || now_us() < next_us_) return;
  next_us_ = now_us() + interval_us();
  draw(progress());
}

void ProgressConsole::finish(BatchProgress const& progress) {
  if (style_ != ProgressStyle::bar) return;
  draw(progress);
  std::fputc('\n', stderr);
}

/// Of the instances; their speeds are those since the last call, or of the last second where that is longer ago.
std::vector<std::string> ProgressConsole::lines_of(BatchProgress const& progress) {
  auto const lines = instance_lines(progress.instances, before_, progress.seconds - before_s_);
  if (progress.seconds - before_s_ >= shortest_measure_s) {
    before_ = progress.instances;
    before_s_ = progress.seconds;
  }
  return lines;
}

void ProgressConsole::draw(BatchProgress const& progress) {
  auto const lines = lines_of(progress);
  if (style_ == ProgressStyle::lines) {
    log_info(progress_text(progress));
    for (std::string const& line : lines) log_info("  " + line);
    return;
  }
  std::string screen = lines_below_ > 0 ? text("\x1b[", lines_below_, "A") : "";
  screen += "\r\x1b[K" + progress_bar(progress, bar_characters);
  for (std::string const& line : lines) screen += "\n\x1b[K  " + line.substr(0, terminal_columns() - 3);
  lines_below_ = int(lines.size());
  std::fputs(screen.c_str(), stderr);
}

}  // namespace windlass
