/// Progress for whoever watches: a bar on a terminal, a line every 30 s elsewhere; below it one for each instance.
#pragma once

#include <functional>

#include "src/core/clock.hpp"
#include "src/serve/progress.hpp"

namespace windlass {

enum class ProgressStyle : unsigned char { none, lines, bar };

/// A bar where standard error is a terminal, else lines.
ProgressStyle progress_style_of_standard_error();

class ProgressConsole {
 public:
  explicit ProgressConsole(ProgressStyle style) : style_(style), next_us_(now_us() + interval_us()) {}
  /// Prints where it is time to; `progress` is only called then.
  void update(std::function<BatchProgress()> const& progress);
  /// Ends the bar's line.
  void finish(BatchProgress const& progress);

 private:
  Microseconds interval_us() const { return style_ == ProgressStyle::bar ? 200'000 : 30'000'000; }
  void draw(BatchProgress const& progress);
  std::vector<std::string> lines_of(BatchProgress const& progress);

  ProgressStyle style_;
  Microseconds next_us_;
  int lines_below_ = 0;  ///< of the bar: one for each instance
  std::vector<InstanceView> before_;
  double before_s_ = 0;
};

}  // namespace windlass
