/// Answers in OpenAI's words, piece by piece: the data of server-sent events.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/serve/logprobs_json.hpp"
#include "src/serve/openai_answer.hpp"

namespace windlass {

/// Writes the events of one request. Texts, tokens and log-probabilities of a choice's events, put together, are those
/// of the whole answer.
class StreamWriter {
 public:
  /// `request` and `tokenizer` (may be null) must outlive this.
  StreamWriter(RecordHead const& head, ApiRequest const& request, Tokenizer const* tokenizer);

  /// What a choice of a prompt gained; empty where there is nothing to tell yet. Valid until the next call.
  std::string_view event(std::size_t prompt, ChoiceDelta const& delta);
  /// The end of a choice that had no event with a finish reason (no token was asked for).
  std::string_view end_event(std::size_t prompt, int choice, Answer const& answer);
  /// The last event where the request wants its usage.
  std::string usage_event(std::span<Answer const> answers) const;

 private:
  struct ChoiceState {
    bool begun = false, ended = false;
    std::optional<TextPosition> position;     ///< for offsets of log-probabilities
    std::optional<ToolCallParser> tools;      ///< where the answer may have calls
    std::optional<ReasoningParser> thoughts;  ///< where the answer may have some
    int calls = 0;                            ///< that were told
  };
  /// What the text of a delta says, calls, and thinks.
  struct Said {
    ToolCallText text;
    std::string reasoning;
    bool empty() const { return text.content.empty() && text.calls.empty() && reasoning.empty(); }
  };

  void write_completion(std::size_t prompt, ChoiceDelta const& delta, ChoiceState& state);
  Said said_in(ChoiceDelta const& delta, ChoiceState& state) const;
  void write_chat(Said const& said, ChoiceDelta const& delta, ChoiceState& state);
  void write_completion_logprobs(std::size_t prompt, ChoiceDelta const& delta, ChoiceState& state);
  void write_prompt_fields(std::size_t prompt, ChoiceDelta const& delta);
  void write_token_ids(char const* key, std::span<TokenId const> ids);

  RecordHead head_;
  ApiRequest const& request_;
  TokenText names_;
  std::string prefix_;  ///< of every event, up to the choices
  std::string event_;
  std::vector<ChoiceState> choices_;  ///< [prompts * n]
};

}  // namespace windlass
