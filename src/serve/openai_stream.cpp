#include "src/serve/openai_stream.hpp"

#include "src/core/text.hpp"

namespace windlass {

StreamWriter::StreamWriter(RecordHead const& head, ApiRequest const& request, Tokenizer const* tokenizer)
    : head_(head),
      request_(request),
      names_(tokenizer, request.token_names),
      choices_(request.prompts.size() * std::size_t(request.choices)) {
  bool const chat = request.endpoint == Endpoint::chat;
  JsonText out;
  out.begin_object().member("id", (chat ? "chatcmpl-" : "cmpl-") + to_hex(head.key));
  out.member("object", chat ? "chat.completion.chunk" : "text_completion");
  out.member("created", head.created_s).member("model", request.model);
  prefix_ = out.take() + ",\"choices\":[";
  if (request.tool_calls)
    for (ChoiceState& choice : choices_) choice.tools.emplace(*request.tool_calls);
  if (request.reasoning)
    for (ChoiceState& choice : choices_) choice.thoughts.emplace(*request.reasoning);
}

std::string_view StreamWriter::event(std::size_t prompt, ChoiceDelta const& delta) {
  std::size_t const index = prompt * std::size_t(request_.choices) + std::size_t(delta.choice);
  ChoiceState& state = choices_.at(index);
  bool const shows_tokens = request_.logprobs || request_.return_token_ids;
  if (delta.text.empty() && !delta.finish && !shows_tokens) return {};
  Said const said = said_in(delta, state);
  if (said.empty() && !delta.finish && !shows_tokens) return {};
  event_ = prefix_;
  event_ += "{\"index\":";
  event_ += std::to_string(index);
  if (request_.endpoint == Endpoint::chat)
    write_chat(said, delta, state);
  else
    write_completion(prompt, delta, state);
  event_ += ",\"finish_reason\":";
  if (!delta.finish)
    event_ += "null";
  else if (state.calls > 0 && delta.finish == FinishReason::stop)
    event_ += "\"tool_calls\"";
  else
    event_ += text('"', finish_reason_name(*delta.finish), '"');
  if (request_.return_token_ids) write_token_ids("token_ids", delta.tokens);
  if (!state.begun && request_.endpoint == Endpoint::completions) write_prompt_fields(prompt, delta);
  event_ += "}]";
  if (!state.begun && request_.endpoint == Endpoint::chat) write_prompt_fields(prompt, delta);
  if (request_.include_usage) event_ += ",\"usage\":null";
  event_ += '}';
  state.begun = true;
  state.ended = delta.finish.has_value();
  return event_;
}

std::string_view StreamWriter::end_event(std::size_t prompt, int choice, Answer const& answer) {
  std::size_t const index = prompt * std::size_t(request_.choices) + std::size_t(choice);
  if (choices_.at(index).ended) return {};
  return event(prompt, {.choice = choice,
                        .prompt_logprobs = answer.prompt_logprobs,
                        .finish = answer.choices.at(std::size_t(choice)).finish});
}

std::string StreamWriter::usage_event(std::span<Answer const> answers) const {
  JsonText usage;
  write_usage(usage, request_, answers);
  return prefix_ + "]," + usage.take() + "}";
}

/// The text of a delta, with thoughts and tool calls taken out of it where the request may have them.
StreamWriter::Said StreamWriter::said_in(ChoiceDelta const& delta, ChoiceState& state) const {
  ReasoningText parts{.reasoning = {}, .content = delta.text};
  if (state.thoughts) {
    parts = state.thoughts->add(delta.text);
    if (delta.finish) {
      ReasoningText const rest = state.thoughts->finish();
      parts.reasoning += rest.reasoning;
      parts.content += rest.content;
    }
    if (!request_.include_reasoning) parts.reasoning.clear();
  }
  if (!state.tools) return {.text = {.content = std::move(parts.content), .calls = {}}, .reasoning = parts.reasoning};
  Said said{.text = state.tools->add(parts.content), .reasoning = std::move(parts.reasoning)};
  if (!delta.finish) return said;
  ToolCallText const rest = state.tools->finish();
  said.text.content += rest.content;
  said.text.calls.insert(said.text.calls.end(), rest.calls.begin(), rest.calls.end());
  return said;
}

void StreamWriter::write_chat(Said const& said, ChoiceDelta const& delta, ChoiceState& state) {
  event_ += state.begun ? ",\"delta\":{" : ",\"delta\":{\"role\":\"assistant\",";
  event_ += "\"content\":";
  append_json_string(event_, said.text.content);
  if (!said.reasoning.empty()) {
    event_ += ",\"reasoning_content\":";
    append_json_string(event_, said.reasoning);
  }
  auto const& calls = said.text.calls;
  if (!calls.empty()) event_ += ",\"tool_calls\":[";
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (i > 0) event_ += ',';
    std::string const call = tool_call_json(head_, {.choice = delta.choice, .call = state.calls}, calls[i]);
    event_ += text("{\"index\":", state.calls++, ",", call.substr(1));
  }
  if (!calls.empty()) event_ += ']';
  event_ += "},\"logprobs\":";
  if (!request_.logprobs || delta.logprobs.empty()) {
    event_ += "null";
    return;
  }
  JsonText logprobs;
  write_chat_logprobs(logprobs, delta.logprobs, *request_.logprobs, names_);
  event_ += logprobs.text();
}

void StreamWriter::write_completion(std::size_t prompt, ChoiceDelta const& delta, ChoiceState& state) {
  event_ += ",\"text\":";
  bool const echoes = request_.echo && !state.begun;
  append_json_string(event_, echoes ? request_.echo_texts[prompt] + delta.text : delta.text);
  event_ += ",\"logprobs\":";
  if (request_.logprobs)
    write_completion_logprobs(prompt, delta, state);
  else
    event_ += "null";
}

void StreamWriter::write_completion_logprobs(std::size_t prompt, ChoiceDelta const& delta, ChoiceState& state) {
  SpecialText const special = request_.sampling.skip_special_tokens ? SpecialText::skip : SpecialText::keep;
  Tokenizer const* const tokenizer = names_.tokenizer();
  if (tokenizer && !state.position) state.position = TextPosition{.detokenizer = Detokenizer(*tokenizer, special)};
  LegacyLogprobs shown{.tokens = delta.tokens,
                       .positions = delta.logprobs,
                       .top = *request_.logprobs,
                       .special = special,
                       .position = state.position ? &*state.position : nullptr};
  if (request_.echo && !state.begun) {
    shown.prompt = request_.prompts[prompt];
    shown.prompt_positions = delta.prompt_logprobs;
  }
  JsonText logprobs;
  write_legacy_logprobs(logprobs, shown, names_);
  event_ += logprobs.text();
}

void StreamWriter::write_prompt_fields(std::size_t prompt, ChoiceDelta const& delta) {
  if (request_.prompt_logprobs) {
    JsonText logprobs;
    write_prompt_logprobs(logprobs, {request_.prompts[prompt].size(), delta.prompt_logprobs, *request_.prompt_logprobs},
                          names_);
    event_ += ",\"prompt_logprobs\":" + logprobs.text();
  }
  if (request_.return_token_ids) write_token_ids("prompt_token_ids", request_.prompts[prompt]);
}

void StreamWriter::write_token_ids(char const* key, std::span<TokenId const> ids) {
  event_ += ",\"";
  event_ += key;
  event_ += "\":[";
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) event_ += ',';
    event_ += std::to_string(number(ids[i]));
  }
  event_ += ']';
}

}  // namespace windlass
