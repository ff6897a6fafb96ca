#include "src/serve/openai_request.hpp"

#include <algorithm>
#include <boost/json/value.hpp>
#include <utility>

#include "src/core/hash.hpp"
#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/chat_prompt.hpp"
#include "src/serve/fields.hpp"
#include "src/serve/sampling_fields.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
constexpr int completions_default_tokens = 16;  ///< OpenAI's default of /v1/completions
constexpr std::size_t max_prompts = 2048, max_custom_id_bytes = 512;
constexpr char const* prompt_forms = "a string, a list of strings, a list of token ids, or a list of such lists";

[[noreturn]] void refuse(ApiError::Details details) { throw ApiError(std::move(details)); }

std::vector<TokenId> encode(std::string const& words, RequestRules const& rules, AddSpecial add) {
  if (!rules.tokenizer)
    refuse({text("this model has no tokenizer (", rules.tokenizer_problem, "); give prompts as token ids"), "prompt",
            "no_tokenizer"});
  return rules.tokenizer->encode(words, add);
}

std::vector<TokenId> token_prompt(json::array const& ids, Fields const& body, RequestRules const& rules) {
  std::vector<TokenId> prompt;
  prompt.reserve(ids.size());
  for (json::value const& element : ids) {
    auto const id = as_token_id(element, rules.vocab);
    if (!id) body.refuse("prompt", text(prompt_forms, " (ids from 0 to ", rules.vocab - 1, ")"));
    prompt.push_back(*id);
  }
  return prompt;
}

/// Adds one prompt: a string or a list of token ids.
void add_prompt(json::value const& value, Fields const& body, RequestRules const& rules, ApiRequest& request) {
  if (value.is_string()) {
    bool const special = body.boolean("add_special_tokens").value_or(true);
    request.echo_texts.emplace_back(value.get_string());
    request.prompts.push_back(encode(request.echo_texts.back(), rules, special ? AddSpecial::yes : AddSpecial::no));
  } else if (value.is_array()) {
    request.prompts.push_back(token_prompt(value.get_array(), body, rules));
    auto const special = request.sampling.skip_special_tokens ? SpecialText::skip : SpecialText::keep;
    request.echo_texts.push_back(
        rules.tokenizer && request.echo ? decode(*rules.tokenizer, request.prompts.back(), special) : "");
  } else {
    body.refuse("prompt", prompt_forms);
  }
}

void read_completion_prompts(Fields const& body, RequestRules const& rules, ApiRequest& request) {
  json::value const* const prompt = body.find("prompt");
  if (!prompt) body.refuse("prompt", prompt_forms);
  json::array const* const list = prompt->if_array();
  bool const several = list && !list->empty() && (list->front().is_string() || list->front().is_array());
  if (!several) return add_prompt(*prompt, body, rules, request);
  if (list->size() > max_prompts) body.refuse("prompt", text("a list of at most ", max_prompts, " prompts"));
  for (json::value const& one : *list) add_prompt(one, body, rules, request);
}

void read_completion(Fields const& body, RequestRules const& rules, ApiRequest& request) {
  if (auto const suffix = body.string("suffix"); suffix && !suffix->empty())
    refuse({"'suffix' is not supported; put the text into 'prompt'", "suffix", "unsupported_value"});
  request.echo = body.boolean("echo").value_or(false);
  if (auto const count = body.integer("logprobs", {0, rules.max_logprobs})) request.logprobs = int(*count);
  read_completion_prompts(body, rules, request);
  if (request.echo && request.logprobs)
    request.sampling.prompt_logprobs = std::max(*request.logprobs, request.prompt_logprobs.value_or(0));
}

void read_chat(Fields const& body, RequestRules const& rules, ApiRequest& request) {
  if (body.boolean("echo").value_or(false))
    refuse({"'echo' is not supported in chat; use /v1/completions", "echo", "unsupported_value"});
  auto const top = body.integer("top_logprobs", {0, rules.max_logprobs});
  if (body.boolean("logprobs").value_or(false)) request.logprobs = int(top.value_or(0));
  if (top && *top > 0 && !request.logprobs)
    refuse({"'top_logprobs' needs 'logprobs': true", "top_logprobs", "invalid_value"});
  bool const special = body.boolean("add_special_tokens").value_or(false);  // templates write them themselves
  std::string const rendered = chat_prompt(body, rules);
  json::array const* const tools = body.array("tools");
  if (tools && !tools->empty() && body.string("tool_choice").value_or("auto") == "auto")
    request.tool_calls = rules.tool_calls;
  if (rules.reasoning && !request.sampling.constraint) request.reasoning = reasoning_start(rendered);
  request.include_reasoning = body.boolean("include_reasoning").value_or(true);
  request.prompts.push_back(encode(rendered, rules, special ? AddSpecial::yes : AddSpecial::no));
}

/// Keeps the last `count` tokens of each prompt.
void truncate_prompts(Fields const& body, RequestRules const& rules, ApiRequest& request) {
  auto const wanted = body.integer("truncate_prompt_tokens", {-1, rules.max_model_len});
  if (!wanted) return;
  if (*wanted == 0) body.refuse("truncate_prompt_tokens", text("-1 or an integer from 1 to ", rules.max_model_len));
  std::size_t const keep = *wanted == -1 ? std::size_t(rules.max_model_len - 1) : std::size_t(*wanted);
  auto const special = request.sampling.skip_special_tokens ? SpecialText::skip : SpecialText::keep;
  for (std::size_t i = 0; i < request.prompts.size(); ++i) {
    auto& prompt = request.prompts[i];
    if (prompt.size() <= keep) continue;
    prompt.erase(prompt.begin(), prompt.end() - std::ptrdiff_t(keep));
    if (request.echo && rules.tokenizer) request.echo_texts[i] = decode(*rules.tokenizer, prompt, special);
  }
}

void set_length(Fields const& body, RequestRules const& rules, ApiRequest& request) {
  std::size_t longest = 0;
  for (auto const& prompt : request.prompts) {
    if (prompt.empty()) refuse({"the prompt has no tokens; give at least one", "prompt", "empty_prompt"});
    longest = std::max(longest, prompt.size());
  }
  std::size_t const room = std::size_t(rules.max_model_len);
  auto const wanted = requested_max_tokens(body, request.endpoint);
  char const* const param = request.endpoint == Endpoint::chat ? "messages" : "prompt";
  if (longest > room || (longest == room && wanted.value_or(1) > 0))
    refuse({text("the prompt has ", longest, " tokens, and this run's context holds ", room,
                 " with the answer; shorten it, set 'truncate_prompt_tokens', or raise --max-model-len"),
            param, "context_length_exceeded"});
  int const fallback = request.endpoint == Endpoint::chat ? int(room - longest) : completions_default_tokens;
  if (wanted && std::size_t(*wanted) > room - longest)
    refuse({text("the prompt's ", longest, " tokens and the ", *wanted, " to generate exceed the context of ", room,
                 "; ask for at most ", room - longest, ", or raise --max-model-len"),
            "max_tokens", "context_length_exceeded"});
  request.sampling.max_tokens = wanted.value_or(std::min(fallback, int(room - longest)));
  if (request.sampling.min_tokens > request.sampling.max_tokens)
    body.refuse("min_tokens", text("at most max_tokens, which is ", request.sampling.max_tokens));
}

void read_stream(Fields const& body, RequestRules const& rules, ApiRequest& request) {
  request.stream = body.boolean("stream").value_or(false);
  if (request.stream && rules.streaming == Streaming::refused)
    refuse({"'stream' must be false or absent: a batch answers whole requests", "stream", "unsupported_value"});
  json::object const* const options = body.object("stream_options");
  if (!options) return;
  if (!request.stream) refuse({"'stream_options' needs 'stream': true", "stream_options", "invalid_value"});
  request.include_usage = Fields(*options).boolean("include_usage").value_or(false);
}

std::string checked_model_name(Fields const& body, RequestRules const& rules) {
  auto const name = body.string("model");
  if (name && !rules.served_model_name.empty() && *name != rules.served_model_name)
    refuse({text("the model '", *name, "' is not served here; this run serves '", rules.served_model_name, "'"),
            "model", "model_not_found"});
  return name.value_or(rules.model_name);
}

}  // namespace

std::size_t ApiRequest::prompt_tokens() const {
  std::size_t total = 0;
  for (auto const& prompt : prompts) total += prompt.size();
  return total;
}

std::string custom_id_of(json::object const& line, std::uint64_t line_number) {
  auto const id = Fields(line).string("custom_id");
  if (id && id->size() > max_custom_id_bytes)
    refuse({text("'custom_id' has ", id->size(), " bytes; at most ", max_custom_id_bytes, " are possible"), "custom_id",
            "invalid_value"});
  return id.value_or(text("line-", line_number));
}

BatchLine open_batch_line(json::object line) {
  Fields const fields(line);
  if (fields.string("method").value_or("POST") != "POST") fields.refuse("method", "\"POST\"");
  auto const url = fields.string("url").value_or("");
  if (url != "/v1/completions" && url != "/v1/chat/completions")
    fields.refuse("url", "\"/v1/completions\" or \"/v1/chat/completions\"");
  if (!fields.object("body")) fields.refuse("body", "an object: the request");
  return {.endpoint = url == "/v1/completions" ? Endpoint::completions : Endpoint::chat,
          .body = std::move(line["body"].get_object())};
}

ApiRequest parse_request(BatchLine const& line, std::string_view custom_id, RequestRules const& rules) {
  Fields const body(line.body);
  ApiRequest request{.endpoint = line.endpoint};
  request.model = checked_model_name(body, rules);
  refuse_unsupported_fields(body);
  read_stream(body, rules, request);
  read_sampling_fields(body, rules, request);
  switch (line.endpoint) {
    case Endpoint::completions:
      read_completion(body, rules, request);
      break;
    case Endpoint::chat:
      read_chat(body, rules, request);
      break;
  }
  truncate_prompts(body, rules, request);
  set_length(body, rules, request);
  if (!request.seed_given) request.sampling.seed = derived_seed(rules.job_seed, custom_id, 0);
  request.sampling.logprobs = request.logprobs;
  if (!request.echo) request.echo_texts.clear();
  return request;
}

std::uint64_t derived_seed(std::uint64_t job_seed, std::string_view custom_id, std::size_t prompt_index) {
  return hash_text(custom_id, {.low = job_seed, .high = std::uint64_t(prompt_index)}).low;
}

Request engine_request(ApiRequest const& request, std::size_t prompt_index, std::string_view custom_id,
                       std::uint64_t job_seed) {
  Request one{.prompt = request.prompts.at(prompt_index),
              .sampling = request.sampling,
              .choices = request.choices,
              .cache_salt = request.cache_salt,
              .deltas = request.stream ? Deltas::on : Deltas::off,
              .priority = request.priority};
  if (!request.seed_given) one.sampling.seed = derived_seed(job_seed, custom_id, prompt_index);
  return one;
}

}  // namespace windlass
