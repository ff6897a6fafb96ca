#include "jobs/console.hpp"

#include <unistd.h>

#include <cstdio>

#include "src/core/log.hpp"

namespace windlass {
namespace {

constexpr int bar_characters = 24;

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

void ProgressConsole::draw(BatchProgress const& progress) const {
  if (style_ == ProgressStyle::lines) return log_info(progress_text(progress));
  std::fprintf(stderr, "\r\x1b[K%s", progress_bar(progress, bar_characters).c_str());
}

}  // namespace windlass
