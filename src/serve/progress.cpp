#include "src/serve/progress.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/bytes_text.hpp"
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

namespace {

constexpr std::size_t most_lines = 16;

std::string instance_line(std::size_t number, InstanceView const& now, std::int64_t new_tokens, double seconds) {
  std::string ranks;
  for (int const rank : now.ranks) ranks += text(ranks.empty() ? "" : ",", rank);
  std::string line = text("instance ", number, " (", role_name(now.role), ", rank ", ranks, "): ");
  if (now.lost) return line + "lost";
  line += text(now.running, " running, ", now.waiting, " waiting");
  if (now.pages > 0)
    line += text(", ", 100 * (now.pages - std::min(now.pages, now.free_pages)) / now.pages, " % of its pages");
  if (seconds > 0) line += text(", ", std::llround(double(new_tokens) / seconds), " tokens/s");
  if (now.kv_in_bytes > 0) line += text(", KV in ", bytes_text(now.kv_in_bytes));
  if (now.kv_out_bytes > 0) line += text(", KV out ", bytes_text(now.kv_out_bytes));
  return line;
}

}  // namespace

std::vector<std::string> instance_lines(std::vector<InstanceView> const& now, std::vector<InstanceView> const& before,
                                        double seconds) {
  auto const tokens = [](InstanceView const& view) { return view.prompt_tokens + view.generated_tokens; };
  std::vector<std::string> lines;
  std::size_t const shown = now.size() > most_lines ? most_lines - 1 : now.size();
  for (std::size_t i = 0; i < shown; ++i)
    lines.push_back(instance_line(i, now[i], tokens(now[i]) - (i < before.size() ? tokens(before[i]) : 0), seconds));
  if (shown < now.size()) lines.push_back(text("and ", now.size() - shown, " more instances"));
  return lines;
}

std::string progress_bar(BatchProgress const& progress, int width) {
  auto const share = finished_share(progress);
  if (!share) return progress_text(progress);
  int const full = int(*share * width);
  return text("[", std::string(std::size_t(full), '#'), std::string(std::size_t(width - full), ' '), "] ",
              progress_text(progress));
}

}  // namespace windlass
