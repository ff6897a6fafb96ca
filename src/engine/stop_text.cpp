#include "src/engine/stop_text.hpp"

#include <algorithm>
#include <utility>

#include "src/core/error.hpp"

namespace windlass {
namespace {

std::vector<std::size_t> borders(std::string_view text) {
  std::vector<std::size_t> border(text.size() + 1, 0);
  for (std::size_t i = 1; i < text.size(); ++i) {
    std::size_t length = border[i];
    while (length > 0 && text[length] != text[i]) length = border[length];
    border[i + 1] = text[length] == text[i] ? length + 1 : 0;
  }
  return border;
}

}  // namespace

StopText::StopText(std::span<std::string const> stops, MatchedText matched) : matched_text_(matched) {
  for (std::string const& stop : stops) {
    ensure(!stop.empty(), "a stop string is empty");
    patterns_.push_back({.text = stop, .border = borders(stop)});
  }
}

void StopText::advance(Pattern& pattern, char next) {
  if (pattern.matched == pattern.text.size()) pattern.matched = pattern.border[pattern.matched];
  while (pattern.matched > 0 && pattern.text[pattern.matched] != next)
    pattern.matched = pattern.border[pattern.matched];
  if (pattern.text[pattern.matched] == next) ++pattern.matched;
}

std::string StopText::add(std::string_view piece, StopSearch search) {
  if (stopped_) return "";
  if (patterns_.empty()) return std::string(piece);
  for (char next : piece) {
    held_ += next;
    std::size_t found = 0;
    for (Pattern& pattern : patterns_) {
      advance(pattern, next);
      if (pattern.matched == pattern.text.size()) found = std::max(found, pattern.matched);
    }
    if (found == 0 || search == StopSearch::ignore) continue;
    stopped_ = true;
    if (matched_text_ == MatchedText::drop) held_.resize(held_.size() - found);
    return std::exchange(held_, "");
  }
  std::size_t keep = 0;
  for (Pattern& pattern : patterns_) {
    if (pattern.matched == pattern.text.size()) pattern.matched = pattern.border[pattern.matched];  // ignored above
    keep = std::max(keep, pattern.matched);
  }
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopText::finish() { return std::exchange(held_, ""); }

}  // namespace windlass
