/// Answers in OpenAI's words: bodies of completions and chats, and the batch records that carry them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "src/core/hash.hpp"
#include "src/engine/request.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/json_text.hpp"
#include "src/serve/openai_request.hpp"

namespace windlass {

/// What every record of a request has.
struct RecordHead {
  Hash128 key;  ///< of the journal (src/store/README.md); ids are made from it
  std::string custom_id;
  std::int64_t created_s = 0;  ///< seconds since 1970
};

/// The record of a request that was answered; `answers` has one entry per prompt, none with an error. `tokenizer` may
/// be null: then a token's text is "token_id:N".
std::string answer_record(RecordHead const& head, ApiRequest const& request, std::span<Answer const> answers,
                          Tokenizer const* tokenizer);

/// The response's body alone, as a server answers it. Ids are made from head.key; head.custom_id is not used.
std::string answer_body(RecordHead const& head, ApiRequest const& request, std::span<Answer const> answers,
                        Tokenizer const* tokenizer);

/// Adds the member "usage" of a whole answer.
void write_usage(JsonText& out, ApiRequest const& request, std::span<Answer const> answers);
char const* finish_reason_name(FinishReason reason);

/// Which call of which choice.
struct ToolCallPlace {
  int choice = 0, call = 0;
};
/// {"id", "type", "function": {"name", "arguments"}}; the id follows from the request's key and the place.
std::string tool_call_json(RecordHead const& head, ToolCallPlace place, ToolCall const& call);

/// The record of a request that can never be answered: status 400 and OpenAI's error object.
std::string error_record(RecordHead const& head, ApiError::Details const& problem);

}  // namespace windlass
