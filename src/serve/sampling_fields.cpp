#include "src/serve/sampling_fields.hpp"

#include <boost/json/value.hpp>
#include <charconv>
#include <limits>

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/constraint_fields.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
constexpr std::int64_t max_count = std::numeric_limits<int>::max();
constexpr std::size_t max_stop_strings = 16;
constexpr int max_choices = 128;
using Least = NumberRange::Least;

void read_distribution(Fields const& body, SuggestedSampling const& defaults, SamplingParameters& sampling) {
  sampling.temperature = body.number("temperature", {0, 100}).value_or(defaults.temperature.value_or(1));
  sampling.top_p = body.number("top_p", {0, 1, Least::excluded}).value_or(defaults.top_p.value_or(1));
  sampling.min_p = body.number("min_p", {0, 1}).value_or(defaults.min_p.value_or(0));
  sampling.top_k = int(body.integer("top_k", {-1, max_count}).value_or(defaults.top_k.value_or(0)));
  if (sampling.top_k == -1) sampling.top_k = 0;  // vLLM's word for "off"
  sampling.presence_penalty = body.number("presence_penalty", {-2, 2}).value_or(0);
  sampling.frequency_penalty = body.number("frequency_penalty", {-2, 2}).value_or(0);
  sampling.repetition_penalty =
      body.number("repetition_penalty", {0, 100, Least::excluded}).value_or(defaults.repetition_penalty.value_or(1));
}

void read_logit_bias(Fields const& body, int vocab, SamplingParameters& sampling) {
  json::object const* const biases = body.object("logit_bias");
  if (!biases) return;
  Fields const entries(*biases);
  for (auto const& [key, value] : *biases) {
    int id = -1;
    auto const [end, failed] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (failed != std::errc{} || end != key.data() + key.size() || id < 0 || id >= vocab)
      throw ApiError({.message = text("'logit_bias' has the key '", std::string_view(key.data(), key.size()),
                                      "'; keys are token ids from 0 to ", vocab - 1),
                      .param = "logit_bias",
                      .code = "invalid_value"});
    if (auto const bias = entries.number(std::string(key).c_str(), {-100, 100}))
      sampling.logit_bias.emplace_back(TokenId(std::uint32_t(id)), *bias);
  }
}

void read_stop(Fields const& body, int vocab, SamplingParameters& sampling) {
  std::string const expected = text("a string or a list of at most ", max_stop_strings, " strings, none empty");
  if (json::value const* const stop = body.find("stop")) {
    if (stop->is_string()) sampling.stop.emplace_back(stop->get_string());
    if (!stop->is_string() && !stop->is_array()) body.refuse("stop", expected);
    if (json::array const* const list = stop->if_array())
      for (json::value const& element : *list) {
        if (!element.is_string()) body.refuse("stop", expected);
        sampling.stop.emplace_back(element.get_string());
      }
    if (sampling.stop.size() > max_stop_strings) body.refuse("stop", expected);
    for (std::string const& word : sampling.stop)
      if (word.empty()) body.refuse("stop", expected);
  }
  sampling.include_stop_text = body.boolean("include_stop_str_in_output").value_or(false);
  sampling.stop_token_ids = body.token_ids("stop_token_ids", vocab);
  sampling.ignore_eos = body.boolean("ignore_eos").value_or(false);
  sampling.min_tokens = int(body.integer("min_tokens", {0, max_count}).value_or(0));
}

/// Seeds are any 64 bits: negative ones as two's complement.
void read_seed(Fields const& body, ApiRequest& request) {
  json::value const* const seed = body.find("seed");
  if (!seed) return;
  request.seed_given = true;
  if (auto const* big = seed->if_uint64()) {
    request.sampling.seed = *big;
    return;
  }
  constexpr IntegerRange any{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
  request.sampling.seed = std::uint64_t(*body.integer("seed", any));
}

void refuse_with(char const* field, std::string message) {
  throw ApiError({.message = std::move(message), .param = field, .code = "unsupported_value"});
}

}  // namespace

void read_sampling_fields(Fields const& body, RequestRules const& rules, ApiRequest& request) {
  SamplingParameters& sampling = request.sampling;
  read_distribution(body, rules.defaults, sampling);
  read_logit_bias(body, rules.vocab, sampling);
  sampling.allowed_token_ids = body.token_ids("allowed_token_ids", rules.vocab);
  read_stop(body, rules.vocab, sampling);
  read_seed(body, request);
  sampling.skip_special_tokens = body.boolean("skip_special_tokens").value_or(true);
  request.choices = int(body.integer("n", {1, max_choices}).value_or(1));
  sampling.constraint = read_constraint(body);
  if (sampling.constraint && !rules.tokenizer)
    refuse_with("structured_outputs", text("this model has no tokenizer (", rules.tokenizer_problem,
                                           "), so its output cannot be held to a form"));
  request.cache_salt = body.string("cache_salt").value_or("");
  bool const names_are_ids = body.boolean("return_tokens_as_token_ids").value_or(false);
  request.token_names = names_are_ids ? TokenNames::ids : TokenNames::texts;
  request.priority = int(body.integer("priority", {-1'000'000, 1'000'000}).value_or(0));
  request.deadline_ms = body.integer("deadline_ms", {1, max_count});
  request.return_token_ids = body.boolean("return_token_ids").value_or(false);
  if (auto const count = body.integer("prompt_logprobs", {0, rules.max_logprobs})) {
    request.prompt_logprobs = int(*count);
    sampling.prompt_logprobs = int(*count);
  }
  sampling.prompt_logprobs_start = int(body.integer("prompt_logprobs_start", {0, max_count}).value_or(0));
}

std::optional<int> requested_max_tokens(Fields const& body, Endpoint endpoint) {
  if (endpoint == Endpoint::chat)
    if (auto const tokens = body.integer("max_completion_tokens", {0, max_count})) return int(*tokens);
  if (auto const tokens = body.integer("max_tokens", {0, max_count})) return int(*tokens);
  return std::nullopt;
}

void refuse_unsupported_fields(Fields const& body) {
  if (body.boolean("use_beam_search").value_or(false))
    refuse_with("use_beam_search", "'use_beam_search' is not supported; leave it out and use 'n'");
  if (auto const best_of = body.integer("best_of", {1, max_choices});
      best_of && *best_of != body.integer("n", {1, max_choices}).value_or(1))
    refuse_with("best_of", "'best_of' other than 'n' is not supported; ask for 'n' choices with 'logprobs' and pick");
  for (char const* const unknown : {"prompt_embeds", "audio", "bad_words", "logits_processors"})
    if (body.find(unknown)) refuse_with(unknown, text("'", unknown, "' is not supported; leave it out"));
  if (json::value const* const choice = body.find("tool_choice")) {
    bool const free = choice->is_string() && (choice->get_string() == "auto" || choice->get_string() == "none");
    if (!free)
      refuse_with("tool_choice", "'tool_choice' must be \"auto\" or \"none\" (a forced call is not supported)");
  }
}

}  // namespace windlass
