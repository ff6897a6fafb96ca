#include "src/serve/progress.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/text.hpp"

namespace windlass {

std::optional<double> finished_share(BatchProgress const& progress) {
  if (!progress.total_bytes || *progress.total_bytes <= 0) return std::nullopt;
  return std::clamp(double(progress.finished_bytes + progress.skipped_bytes) / *progress.total_bytes, 0.0, 1.0);
}

std::string duration_text(double seconds) {
  auto const whole = std::int64_t(std::llround(seconds));
  if (whole >= 3600) return text(whole / 3600, " h ", whole % 3600 / 60, " min");
  if (whole >= 60) return text(whole / 60, " min ", whole % 60, " s");
  return text(whole, " s");
}

std::string progress_text(BatchProgress const& progress) {
  std::string line = text(progress.records, " answered");
  if (progress.skipped > 0) line += text(" (and ", progress.skipped, " before)");
  auto const share = finished_share(progress);
  if (share) line += text(", ", int(*share * 100), " % of the input");
  if (progress.seconds > 0) line += text(", ", std::llround(double(progress.tokens) / progress.seconds), " tokens/s");
  if (share && progress.finished_bytes > 0 && *share < 1) {
    double const left = *progress.total_bytes - double(progress.finished_bytes + progress.skipped_bytes);
    line += text(", about ", duration_text(progress.seconds * left / double(progress.finished_bytes)), " left");
  }
  return line;
}

std::string progress_bar(BatchProgress const& progress, int width) {
  auto const share = finished_share(progress);
  if (!share) return progress_text(progress);
  int const full = int(*share * width);
  return text("[", std::string(std::size_t(full), '#'), std::string(std::size_t(width - full), ' '), "] ",
              progress_text(progress));
}

}  // namespace windlass
