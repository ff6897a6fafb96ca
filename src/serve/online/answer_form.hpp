/// The words in which a call is answered: those of completions and chats, or those of responses.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "src/engine/request.hpp"
#include "src/serve/openai_answer.hpp"

namespace windlass {

/// Takes the data of one event; empty ones are nothing.
using EventSink = std::function<void(std::string_view data)>;

/// Writes the answer of one call, piece by piece or whole. Local.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;
  virtual void delta(std::size_t prompt, ChoiceDelta const& delta, EventSink const& send) = 0;
  virtual void prompt_done(std::size_t prompt, Answer const& answer, EventSink const& send) = 0;
  virtual void all_done(std::span<Answer const> answers, EventSink const& send) = 0;
  /// The whole answer; then none of the others is called.
  virtual std::string body(std::span<Answer const> answers) = 0;
};

/// `request` and `tokenizer` (may be null) must outlive the form.
std::unique_ptr<AnswerForm> completion_form(RecordHead const& head, ApiRequest const& request,
                                            Tokenizer const* tokenizer);

}  // namespace windlass
