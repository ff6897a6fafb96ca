#include "src/serve/openai_answer.hpp"

#include "src/core/text.hpp"
#include "src/serve/logprobs_json.hpp"
#include "src/store/journal_recovery.hpp"

namespace windlass {
namespace {

/// Writes the pieces of one request's body.
class BodyWriter {
 public:
  BodyWriter(JsonText& out, ApiRequest const& request, std::span<Answer const> answers, Tokenizer const* tokenizer)
      : out_(out), request_(request), answers_(answers), names_(tokenizer, request.token_names) {}

  void write(RecordHead const& head) {
    bool const chat = request_.endpoint == Endpoint::chat;
    out_.begin_object().member("id", (chat ? "chatcmpl-" : "cmpl-") + to_hex(head.key));
    out_.member("object", chat ? "chat.completion" : "text_completion");
    out_.member("created", head.created_s).member("model", request_.model).key("choices").begin_array();
    int index = 0;
    for (std::size_t prompt = 0; prompt < answers_.size(); ++prompt)
      for (Choice const& choice : answers_[prompt].choices) {
        out_.begin_object().member("index", index++);
        if (chat)
          write_chat_choice(head, choice, index - 1);
        else
          write_completion_choice(choice, prompt);
        out_.member("finish_reason", finish_reason_).end_object();
      }
    out_.end_array();
    write_usage(out_, request_, answers_);
    if (chat) write_chat_prompt_fields();
    out_.end_object();
  }

 private:
  void write_token_ids(char const* key, std::span<TokenId const> ids) {
    out_.key(key).begin_array();
    for (TokenId const id : ids) out_.value(std::uint64_t(number(id)));
    out_.end_array();
  }

  void write_completion_choice(Choice const& choice, std::size_t prompt) {
    std::vector<TokenId> const& ids = request_.prompts[prompt];
    Answer const& answer = answers_[prompt];
    finish_reason_ = finish_reason_name(choice.finish);
    out_.member("text", request_.echo ? request_.echo_texts[prompt] + choice.text : choice.text).key("logprobs");
    if (request_.logprobs) {
      LegacyLogprobs const shown{
          .prompt = request_.echo ? std::span<TokenId const>(ids) : std::span<TokenId const>{},
          .prompt_positions = request_.echo ? std::span(answer.prompt_logprobs) : std::span<PositionLogprobs const>{},
          .tokens = choice.tokens,
          .positions = choice.logprobs,
          .top = *request_.logprobs,
          .special = request_.sampling.skip_special_tokens ? SpecialText::skip : SpecialText::keep};
      write_legacy_logprobs(out_, shown, names_);
    } else {
      out_.null();
    }
    if (request_.prompt_logprobs) {
      out_.key("prompt_logprobs");
      write_prompt_logprobs(out_, {ids.size(), answer.prompt_logprobs, *request_.prompt_logprobs}, names_);
    }
    if (!request_.return_token_ids) return;
    write_token_ids("token_ids", choice.tokens);
    write_token_ids("prompt_token_ids", ids);
  }

  void write_chat_choice(RecordHead const& head, Choice const& choice, int index) {
    ReasoningText parts{.reasoning = {}, .content = choice.text};
    if (request_.reasoning) parts = split_reasoning(choice.text, *request_.reasoning);
    ToolCallText parsed{.content = std::move(parts.content), .calls = {}};
    if (request_.tool_calls) parsed = parse_tool_calls(parsed.content, *request_.tool_calls);
    bool const calls = !parsed.calls.empty();
    finish_reason_ = calls && choice.finish == FinishReason::stop ? "tool_calls" : finish_reason_name(choice.finish);
    out_.key("message").begin_object().member("role", "assistant").key("content");
    if (calls && parsed.content.empty())
      out_.null();
    else
      out_.value(parsed.content);
    out_.key("refusal").null();
    if (!parts.reasoning.empty() && request_.include_reasoning) out_.member("reasoning_content", parts.reasoning);
    if (calls) {
      out_.key("tool_calls").begin_array();
      for (std::size_t i = 0; i < parsed.calls.size(); ++i)
        out_.raw(tool_call_json(head, {.choice = index, .call = int(i)}, parsed.calls[i]));
      out_.end_array();
    }
    out_.end_object().key("logprobs");
    if (request_.logprobs)
      write_chat_logprobs(out_, choice.logprobs, *request_.logprobs, names_);
    else
      out_.null();
    if (request_.return_token_ids) write_token_ids("token_ids", choice.tokens);
  }

  /// A chat has one prompt, so vLLM puts these beside the choices.
  void write_chat_prompt_fields() {
    if (request_.prompt_logprobs) {
      out_.key("prompt_logprobs");
      write_prompt_logprobs(
          out_, {request_.prompts.front().size(), answers_.front().prompt_logprobs, *request_.prompt_logprobs}, names_);
    }
    if (request_.return_token_ids) write_token_ids("prompt_token_ids", request_.prompts.front());
  }

  JsonText& out_;
  ApiRequest const& request_;
  std::span<Answer const> answers_;
  TokenText names_;
  char const* finish_reason_ = "";  ///< of the choice that is being written
};

void begin_record(JsonText& out, RecordHead const& head, int status) {
  out.begin_object().member("id", record_id(head.key)).member("custom_id", head.custom_id);
  out.key("response").begin_object().member("status_code", status).member("request_id", "req_" + to_hex(head.key));
  out.key("body");
}

std::string end_record(JsonText& out) {
  out.end_object().key("error").null().end_object();
  return out.take();
}

void write_or_null(JsonText& out, char const* key, std::string const& word) {
  out.key(key);
  if (word.empty())
    out.null();
  else
    out.value(word);
}

}  // namespace

char const* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::error:
      return "error";
  }
  ensure(false, "a finish reason out of range");
  return "";
}

std::string tool_call_json(RecordHead const& head, ToolCallPlace place, ToolCall const& call) {
  std::string const id = to_hex(hash_text(text(place.choice, ".", place.call), head.key)).substr(0, 24);
  JsonText out;
  out.begin_object().member("id", "call_" + id).member("type", "function");
  out.key("function").begin_object().member("name", call.name).member("arguments", call.arguments).end_object();
  out.end_object();
  return out.take();
}

void write_usage(JsonText& out, ApiRequest const& request, std::span<Answer const> answers) {
  std::int64_t const prompt = std::int64_t(request.prompt_tokens());
  std::int64_t generated = 0, cached = 0;
  for (Answer const& answer : answers) {
    cached += answer.cached_tokens;
    for (Choice const& choice : answer.choices) generated += std::int64_t(choice.tokens.size());
  }
  out.key("usage").begin_object().member("prompt_tokens", prompt).member("completion_tokens", generated);
  out.member("total_tokens", prompt + generated).key("prompt_tokens_details").begin_object();
  out.member("cached_tokens", cached).end_object().end_object();
}

std::string answer_body(RecordHead const& head, ApiRequest const& request, std::span<Answer const> answers,
                        Tokenizer const* tokenizer) {
  ensure(answers.size() == request.prompts.size(), "a body needs one answer per prompt");
  JsonText out;
  BodyWriter(out, request, answers, tokenizer).write(head);
  return out.take();
}

std::string answer_record(RecordHead const& head, ApiRequest const& request, std::span<Answer const> answers,
                          Tokenizer const* tokenizer) {
  ensure(answers.size() == request.prompts.size(), "a record needs one answer per prompt");
  JsonText out;
  begin_record(out, head, 200);
  BodyWriter(out, request, answers, tokenizer).write(head);
  return end_record(out);
}

std::string error_record(RecordHead const& head, ApiError::Details const& problem) {
  JsonText out;
  begin_record(out, head, problem.status);
  out.begin_object().key("error").begin_object().member("message", problem.message);
  out.member("type", problem.status < 500 ? "invalid_request_error" : "server_error");
  write_or_null(out, "param", problem.param);
  write_or_null(out, "code", problem.code);
  out.end_object().end_object();
  return end_record(out);
}

}  // namespace windlass
