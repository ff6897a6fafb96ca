#include "src/serve/reasoning.hpp"

#include <algorithm>

namespace windlass {
namespace {

constexpr std::string_view begin_mark = "<think>", end_mark = "</think>", white_space = " \t\r\n";

std::string_view without_space_before(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(white_space), text.size()));
}

std::string_view without_space_behind(std::string_view text) {
  return text.substr(0, text.find_last_not_of(white_space) + 1);
}

/// Bytes at the end of `text` that may become the end mark.
std::size_t possible_mark_bytes(std::string_view text) {
  for (std::size_t size = std::min(text.size(), end_mark.size() - 1); size > 0; --size)
    if (end_mark.starts_with(text.substr(text.size() - size))) return size;
  return 0;
}

}  // namespace

ReasoningStart reasoning_start(std::string_view prompt) {
  return without_space_behind(prompt).ends_with(begin_mark) ? ReasoningStart::inside : ReasoningStart::open;
}

/// False where more text must come first.
bool ReasoningParser::look_for_begin() {
  std::string_view const rest = without_space_before(held_);
  if (rest.starts_with(begin_mark)) {
    held_ = rest.substr(begin_mark.size());
    state_ = State::inside;
    return true;
  }
  if (begin_mark.starts_with(rest)) return false;
  state_ = State::content;
  return true;
}

/// False where more text must come first.
bool ReasoningParser::take_thoughts(ReasoningText& out) {
  if (!any_thought_) held_ = std::string(without_space_before(held_));
  std::size_t const end = held_.find(end_mark);
  bool const ends = end != std::string::npos;
  std::string_view const whole(held_);
  std::string_view const sure =
      without_space_behind(whole.substr(0, ends ? end : whole.size() - possible_mark_bytes(whole)));
  out.reasoning += sure;
  any_thought_ |= !sure.empty();
  held_.erase(0, ends ? end + end_mark.size() : sure.size());
  if (ends) state_ = State::behind;
  return ends;
}

ReasoningText ReasoningParser::add(std::string_view text) {
  ReasoningText out;
  held_ += text;
  if (state_ == State::open && !look_for_begin()) return out;
  if (state_ == State::inside && !take_thoughts(out)) return out;
  if (state_ == State::behind) {
    held_ = std::string(without_space_before(held_));
    if (!held_.empty()) state_ = State::content;
  }
  if (state_ == State::content) out.content = std::move(held_);
  held_.clear();
  return out;
}

ReasoningText ReasoningParser::finish() {
  ReasoningText out;
  if (state_ == State::open) out.content = held_;
  if (state_ == State::inside) out.reasoning = without_space_behind(held_);
  held_.clear();
  return out;
}

ReasoningText split_reasoning(std::string_view text, ReasoningStart start) {
  ReasoningParser parser(start);
  ReasoningText parts = parser.add(text);
  ReasoningText const rest = parser.finish();
  return {parts.reasoning + rest.reasoning, parts.content + rest.content};
}

}  // namespace windlass
