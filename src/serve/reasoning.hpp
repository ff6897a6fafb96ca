/// Thoughts that a model writes before its answer, <think>…</think>, told apart from the answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace windlass {

/// Where an answer's text begins.
enum class ReasoningStart : std::uint8_t {
  open,   ///< the model may open its thoughts itself
  inside  ///< the prompt has opened them already
};

/// What a rendered chat leaves to the model.
ReasoningStart reasoning_start(std::string_view prompt);

struct ReasoningText {
  std::string reasoning, content;
};

/// Splits a text as it arrives: however it is cut, the parts add up to the same. White space around the thoughts is
/// dropped. Text without thoughts stays as it is; thoughts that never end are all of it.
class ReasoningParser {
 public:
  explicit ReasoningParser(ReasoningStart start)
      : state_(start == ReasoningStart::inside ? State::inside : State::open) {}

  ReasoningText add(std::string_view text);
  ReasoningText finish();  ///< what was held back; call it once, at the end of the answer

 private:
  enum class State : std::uint8_t { open, inside, behind, content };
  bool look_for_begin();
  bool take_thoughts(ReasoningText& out);

  State state_;
  std::string held_;
  bool any_thought_ = false;
};

/// The whole text at once.
ReasoningText split_reasoning(std::string_view text, ReasoningStart start);

}  // namespace windlass
