#include "jobs/load_requests.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cmath>
#include <fstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

constexpr std::uint64_t own_stream = 1000, prefix_stream = 3, block_stream = 4;

/// Each is one token, with the space before it, in the vocabularies of today's models.
constexpr std::array<std::string_view, 64> words = {
    "the",  "of",   "and",   "to",   "in",   "is",   "that", "for",  "it",    "as",    "was",   "with",  "be",
    "by",   "on",   "not",   "he",   "his",  "but",  "at",   "are",  "this",  "have",  "from",  "or",    "had",
    "an",   "they", "which", "one",  "you",  "were", "all",  "her",  "she",   "there", "would", "their", "we",
    "him",  "been", "has",   "when", "who",  "will", "no",   "more", "if",    "out",   "so",    "up",    "said",
    "what", "its",  "about", "than", "into", "them", "can",  "only", "other", "time",  "new",   "some"};

/// Appends `count` tokens of a stream. Ids at both ends of a vocabulary are control tokens and bytes: left out.
void append_tokens(std::vector<std::int64_t>& tokens, PromptRecipe const& recipe, std::int64_t count,
                   RandomStream random) {
  auto const eighth = std::uint64_t(recipe.vocab / 8);
  std::uint64_t const least = recipe.form == PromptForm::words ? 0 : eighth;
  std::uint64_t const range =
      recipe.form == PromptForm::words ? words.size() : std::uint64_t(recipe.vocab) - 2 * eighth;
  for (std::int64_t i = 0; i < count; ++i) tokens.push_back(std::int64_t(least + random.below(range)));
}

std::vector<std::int64_t> prompt_tokens(PromptRecipe const& recipe, SimRequest const& work, std::size_t index) {
  std::vector<std::int64_t> tokens;
  append_tokens(tokens, recipe, recipe.shared_prefix_tokens, RandomStream(recipe.seed, prefix_stream));
  std::int64_t left = work.lengths.prompt_tokens;
  for (std::uint64_t const hash : work.block_hashes) {
    std::int64_t const part = std::min<std::int64_t>(left, recipe.trace_block_tokens);
    append_tokens(tokens, recipe, part, RandomStream(recipe.seed ^ random_bits(hash, block_stream, 0), block_stream));
    left -= part;
  }
  append_tokens(tokens, recipe, left, RandomStream(recipe.seed, own_stream + index));
  return tokens;
}

json::value prompt_value(PromptRecipe const& recipe, std::vector<std::int64_t> const& tokens) {
  if (recipe.form == PromptForm::token_ids) return json::value_from(tokens);
  std::string prompt;
  for (std::int64_t const token : tokens) {
    if (!prompt.empty()) prompt += ' ';
    prompt += words[std::size_t(token)];
  }
  return json::value(prompt);
}

json::value as_messages(json::value const& prompt) {
  return json::array{json::object{{"role", "user"}, {"content", prompt}}};
}

/// The fields of one line that make its request.
json::object fields_of_line(json::object line, CustomPrompts const& recipe, LoadRoute route) {
  if (json::value* const body = line.if_contains("body"); body && body->is_object())
    line = json::object(body->as_object());
  json::object fields;
  char const* const wanted = route == LoadRoute::chat ? "messages" : "prompt";
  if (json::value const* const found = line.if_contains(wanted))
    fields[wanted] = *found;
  else if (json::value const* const prompt = line.if_contains("prompt"); prompt && prompt->is_string())
    fields["messages"] = as_messages(*prompt);
  else
    throw InputError(text("has no \"", wanted, "\""));
  fields["max_tokens"] = recipe.output_tokens;
  for (char const* const name : {"max_tokens", "output_tokens"})
    if (json::value const* const found = line.if_contains(name); found && found->is_int64())
      fields["max_tokens"] = *found;
  return fields;
}

}  // namespace

LengthSampler random_lengths(RandomLengths const& recipe) {
  return [recipe](RandomStream& random) {
    auto const draw = [&](std::int32_t mean) {
      auto const reach = std::int64_t(std::floor(mean * recipe.spread));
      return std::int32_t(
          std::max<std::int64_t>(1, mean - reach + std::int64_t(random.below(std::uint64_t(2 * reach + 1)))));
    };
    std::int32_t const prompt = draw(recipe.mean.prompt_tokens);
    return TokenLengths{prompt, draw(recipe.mean.output_tokens)};
  };
}

LoadPlan read_custom_prompts(CustomPrompts const& recipe, LoadRoute route) {
  std::ifstream file(recipe.path);
  if (!file) throw FileError(recipe.path, "open", errno);
  std::vector<json::object> lines;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      lines.push_back(fields_of_line(json::parse(line).as_object(), recipe, route));
    } catch (std::exception const& problem) {
      throw InputError(text(recipe.path, ":", number, ": ", problem.what(),
                            "; a line is an object with \"prompt\", \"messages\" or a batch request's \"body\""));
    }
  }
  if (lines.empty()) throw InputError(recipe.path + ": has no prompt");
  LoadPlan plan(recipe.count > 0 ? std::size_t(recipe.count) : lines.size());
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].fields = lines[i % lines.size()];
  return plan;
}

LoadPlan plan_of(Workload workload) {
  LoadPlan plan;
  for (SimRequest& request : workload) {
    Microseconds const at_us = request.arrival_us;
    plan.push_back({.at_us = at_us, .work = std::move(request), .fields = {}});
  }
  return plan;
}

void set_arrivals(LoadPlan& plan, ArrivalProcess const& arrivals, std::uint64_t seed) {
  Workload const times = std::isinf(arrivals.rate_per_s)
                             ? Workload(plan.size())
                             : make_workload({.requests = std::int64_t(plan.size()),
                                              .arrivals = arrivals,
                                              .lengths = fixed_lengths({.prompt_tokens = 1, .output_tokens = 1}),
                                              .seed = seed});
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].at_us = times[i].arrival_us;
}

std::string request_body(BodyRecipe const& recipe, PlannedRequest const& planned, std::size_t index) {
  json::object body{{"model", recipe.model}, {"temperature", 0}};
  if (planned.work.lengths.prompt_tokens > 0) {
    json::value prompt = prompt_value(recipe.prompts, prompt_tokens(recipe.prompts, planned.work, index));
    bool const chat = recipe.route == LoadRoute::chat;
    body[chat ? "messages" : "prompt"] = chat ? as_messages(prompt) : std::move(prompt);
    body["max_tokens"] = planned.work.lengths.output_tokens;
  }
  for (auto const& field : planned.fields) body.insert_or_assign(field.key(), field.value());
  if (recipe.end_of_text == EndOfText::ignored) body["ignore_eos"] = true;
  body["stream"] = true;
  body["stream_options"] = json::object{{"include_usage", true}};
  for (auto const& field : recipe.extra) body.insert_or_assign(field.key(), field.value());
  return json::serialize(body);
}

}  // namespace windlass
