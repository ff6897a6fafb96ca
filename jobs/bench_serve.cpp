// windlass bench-serve: an open-loop load generator for any server of OpenAI's API.
#include <unistd.h>

#include <boost/json.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <limits>
#include <optional>

#include "jobs/commands.hpp"
#include "jobs/drain_signals.hpp"
#include "jobs/engine_options.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/load_report.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/server_access.hpp"
#include "jobs/sim_files.hpp"
#include "jobs/version.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;
namespace json = boost::json;

constexpr char const* introduction =
    "windlass bench-serve sends requests to a server of OpenAI's API at times of its own, whether or not earlier ones\n"
    "are answered, reads the answers as streams, and prints throughput, latencies and how many requests met their\n"
    "limits. Times count from when a request was due; with --max-concurrency from when it was sent.\n";

constexpr std::int32_t careful_vocab = 8192;  ///< of a server that does not tell its own: most have more tokens

template <class T>
po::typed_value<T>* with_default(T value) {
  return po::value<T>()->default_value(value);
}

po::options_description load_options() {
  po::options_description options("Load", help_width, help_text_width);
  options.add_options()("dataset-name", with_default<std::string>("random"),
                        "random: lengths as below. trace: lengths and times of --dataset-path. custom: its prompts");
  options.add_options()(
      "dataset-path", with_default<std::string>(""),
      "trace: Azure's CSV (TIMESTAMP,ContextTokens,GeneratedTokens) or Mooncake's JSONL; custom: JSONL "
      "with \"prompt\", \"messages\" or batch requests");
  options.add_options()("num-prompts", with_default(0),
                        "how many requests; 0: as many as the file has, 1000 random ones");
  options.add_options()("request-rate", with_default<std::string>(""),
                        "requests per second; inf: all at once. Default: a trace's own times, else inf");
  options.add_options()(
      "burstiness", with_default(1.0),
      "shape of the gamma distribution of gaps: 1 is Poisson, less is burstier, inf is a fixed interval");
  options.add_options()("speedup", with_default(1.0), "a trace's own times, so many times as fast");
  options.add_options()("max-concurrency", with_default(0), "never more requests at a time than this; 0: no limit");
  options.add_options()("random-input-len", with_default(1024), "mean prompt tokens");
  options.add_options()("random-output-len", with_default(128), "mean output tokens");
  options.add_options()("random-range-ratio", with_default(0.0), "lengths are uniform in mean × (1 ± ratio)");
  options.add_options()("random-prefix-len", with_default(0), "tokens in front of every prompt, the same ones");
  options.add_options()("custom-output-len", with_default(256), "max_tokens of custom prompts that have none");
  options.add_options()("seed", with_default(std::uint64_t{0}), "the same seed gives the same prompts and times");
  return options;
}

po::options_description request_options() {
  po::options_description options("Requests", help_width, help_text_width);
  options.add_options()("model", with_default<std::string>(""), "default: the first of /v1/models");
  options.add_options()("endpoint", with_default<std::string>("/v1/completions"), "or /v1/chat/completions");
  options.add_options()("prompt-form", with_default<std::string>(""),
                        "ids: exactly as many tokens as planned. words: about as many, of text. Default: ids for "
                        "completions, words for chats");
  options.add_options()("vocab-size", with_default(0),
                        "token ids stay below it; 0: asked for at /tokenizer_info, else 8192");
  options.add_options()("stop-at-eos", po::bool_switch(),
                        "answers may end early; without it random and trace requests say ignore_eos");
  options.add_options()("ignore-eos", po::bool_switch(), "custom ones too");
  options.add_options()("extra-body", with_default<std::string>(""), "JSON object: fields of every request");
  options.add_options()("patience", with_default(600.0), "seconds without a byte after which a request has failed");
  return options;
}

po::options_description result_options() {
  po::options_description options("Results", help_width, help_text_width);
  options.add_options()("goodput", po::value<std::vector<std::string>>()->multitoken(),
                        "limits in ms that a good request meets: ttft:200 tpot:50 e2el:5000");
  options.add_options()("metric-percentiles", with_default<std::string>("50,90,99"), "which ones");
  options.add_options()("report", with_default<std::string>(""), "write the figures here, as JSON");
  options.add_options()("save-detailed", po::bool_switch(), "with the times of every request");
  options.add_options()("config", po::value<std::string>(), "read options from this file: lines 'name = value'");
  options.add_options()("quiet", po::bool_switch(), "print no table");
  options.add_options()("help,h", "print this");
  return options;
}

std::string text_of(po::variables_map const& values, char const* name) { return values[name].as<std::string>(); }

double number_of(std::string const& option, std::string const& value) {
  double number = 0;
  auto const [end, failed] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (failed != std::errc{} || end != value.data() + value.size() || std::isnan(number))
    throw InputError(text("--", option, " '", value, "' is no number"));
  return number;
}

std::vector<double> percents_of(std::string const& list) {
  std::vector<double> percents;
  for (std::size_t begin = 0; begin <= list.size();) {
    std::size_t const end = std::min(list.find(',', begin), list.size());
    percents.push_back(number_of("metric-percentiles", list.substr(begin, end - begin)));
    if (percents.back() < 0 || percents.back() > 100)
      throw InputError(text("--metric-percentiles ", list, ": they are numbers between 0 and 100"));
    begin = end + 1;
  }
  return percents;
}

json::object extra_body(std::string const& words) {
  if (words.empty()) return {};
  json::error_code failed;
  json::value const parsed = json::parse(words, failed);
  if (failed || !parsed.is_object())
    throw InputError(text("--extra-body ", words, " is no JSON object; write it like {\"top_p\": 0.9}"));
  return parsed.as_object();
}

LoadRoute route_of(std::string const& endpoint) {
  if (endpoint == "/v1/completions") return LoadRoute::completions;
  if (endpoint == "/v1/chat/completions") return LoadRoute::chat;
  throw InputError(text("--endpoint ", endpoint, " is not known; use /v1/completions or /v1/chat/completions"));
}

PromptForm form_of(std::string const& word, LoadRoute route) {
  bool const chat = route == LoadRoute::chat;
  if (word == "words" || (word.empty() && chat)) return PromptForm::words;
  if (word == "ids" && chat) throw InputError("--prompt-form ids: a chat has no token ids; use words");
  if (word == "ids" || word.empty()) return PromptForm::token_ids;
  throw InputError(text("--prompt-form ", word, " does not exist; use ids or words"));
}

/// Requests per second; nothing where a trace's own times count.
std::optional<double> rate_of(po::variables_map const& values) {
  std::string const word = text_of(values, "request-rate");
  if (word.empty())
    return text_of(values, "dataset-name") == "trace" ? std::nullopt
                                                      : std::optional(std::numeric_limits<double>::infinity());
  double const rate = number_of("request-rate", word);
  if (!(rate > 0)) throw InputError(text("--request-rate ", word, " must be more than 0; inf sends all at once"));
  return rate;
}

/// Coefficient of variation of a gamma distribution of this shape.
double variation_of(po::variables_map const& values) {
  double const burstiness = values["burstiness"].as<double>();
  if (!(burstiness > 0)) throw InputError("--burstiness must be more than 0; 1 is Poisson");
  return std::isinf(burstiness) ? 0 : 1 / std::sqrt(burstiness);
}

int at_least_of(po::variables_map const& values, char const* name, int least) {
  int const value = values[name].as<int>();
  if (value < least) throw InputError(text("--", name, " ", value, " is too small; it is at least ", least));
  return value;
}

LoadPlan random_plan(po::variables_map const& values) {
  int const count = at_least_of(values, "num-prompts", 0);
  RandomLengths const lengths{.mean = {.prompt_tokens = at_least_of(values, "random-input-len", 1),
                                       .output_tokens = at_least_of(values, "random-output-len", 1)},
                              .spread = values["random-range-ratio"].as<double>()};
  if (lengths.spread < 0 || lengths.spread > 1) throw InputError("--random-range-ratio lies between 0 and 1");
  return plan_of(make_workload({.requests = count == 0 ? 1000 : count,
                                .arrivals = {.rate_per_s = 1},
                                .lengths = random_lengths(lengths),
                                .seed = values["seed"].as<std::uint64_t>()}));
}

LoadPlan trace_plan(po::variables_map const& values) {
  std::string const path = text_of(values, "dataset-path");
  double const speedup = values["speedup"].as<double>();
  if (!(speedup > 0)) throw InputError("--speedup must be more than 0");
  LoadPlan plan = plan_of(path.ends_with(".csv") ? read_azure_trace(path) : read_mooncake_trace(path));
  auto const count = std::size_t(at_least_of(values, "num-prompts", 0));
  if (count > 0 && count < plan.size()) plan.resize(count);
  for (PlannedRequest& request : plan) request.at_us = std::llround(double(request.at_us) / speedup);
  return plan;
}

LoadPlan load_plan(po::variables_map const& values, LoadRoute route) {
  std::string const name = text_of(values, "dataset-name"), path = text_of(values, "dataset-path");
  if (name != "random" && name != "trace" && name != "custom")
    throw InputError(text("--dataset-name ", name, " does not exist; use random, trace or custom"));
  if ((name == "random") != path.empty())
    throw InputError(name == "random" ? "--dataset-path is given; say --dataset-name trace or custom"
                                      : text("--dataset-name ", name, " needs --dataset-path"));
  if (!path.empty()) require_readable_file("dataset-path", path);
  LoadPlan plan = name == "random" ? random_plan(values)
                  : name == "trace"
                      ? trace_plan(values)
                      : read_custom_prompts({.path = path,
                                             .count = at_least_of(values, "num-prompts", 0),
                                             .output_tokens = at_least_of(values, "custom-output-len", 1)},
                                            route);
  if (auto const rate = rate_of(values))
    set_arrivals(plan, {.rate_per_s = *rate, .variation = variation_of(values)}, values["seed"].as<std::uint64_t>());
  return plan;
}

/// How many tokens the server's vocabulary has, where it tells.
std::int32_t vocab_size(HttpClient& client, std::string const& api_key) {
  WholeResponse const response = ask(client, {.route = "//tokenizer_info", .body = "", .api_key = api_key});
  json::error_code failed;
  json::value const body = json::parse(response.body, failed);
  if (response.status != 200 || failed || !body.is_object()) return careful_vocab;
  json::value const* const size = body.as_object().if_contains("vocab_size");
  return size && size->is_int64() && size->as_int64() >= 16 ? std::int32_t(size->as_int64()) : careful_vocab;
}

BodyRecipe body_recipe(po::variables_map const& values, HttpClient& client, ServerAccess const& access) {
  LoadRoute const route = route_of(text_of(values, "endpoint"));
  bool const custom = text_of(values, "dataset-name") == "custom";
  bool const ends = values["stop-at-eos"].as<bool>() || (custom && !values["ignore-eos"].as<bool>());
  BodyRecipe recipe{.route = route,
                    .model = text_of(values, "model"),
                    .prompts = {.form = form_of(text_of(values, "prompt-form"), route),
                                .vocab = at_least_of(values, "vocab-size", 0),
                                .shared_prefix_tokens = at_least_of(values, "random-prefix-len", 0),
                                .seed = values["seed"].as<std::uint64_t>()},
                    .end_of_text = ends ? EndOfText::ends_answers : EndOfText::ignored,
                    .extra = extra_body(text_of(values, "extra-body"))};
  if (recipe.model.empty()) recipe.model = first_model(client, access.api_key);
  if (recipe.prompts.form == PromptForm::token_ids && recipe.prompts.vocab == 0)
    recipe.prompts.vocab = vocab_size(client, access.api_key);
  if (recipe.prompts.form == PromptForm::token_ids && recipe.prompts.vocab < 16)
    throw InputError("--vocab-size is at least 16");
  return recipe;
}

LoadDescription description_of(po::variables_map const& values, ServerAccess const& access, std::string const& model) {
  using Detail = LoadDescription::Detail;
  return {.model = model,
          .base_url = access.shown,
          .endpoint = text_of(values, "endpoint"),
          .dataset = text_of(values, "dataset-name"),
          .program = text("windlass ", program_version(), " (", program_commit(), ")"),
          .request_rate = rate_of(values).value_or(0),
          .burstiness = values["burstiness"].as<double>(),
          .max_concurrency = values["max-concurrency"].as<int>(),
          .seed = values["seed"].as<std::uint64_t>(),
          .detail = values["save-detailed"].as<bool>() ? Detail::every_request : Detail::figures};
}

int bench(po::variables_map const& values) {
  ServiceLevels const levels = parse_service_levels(
      values.count("goodput") ? values["goodput"].as<std::vector<std::string>>() : std::vector<std::string>());
  std::vector<double> const percents = percents_of(text_of(values, "metric-percentiles"));
  std::string const report = text_of(values, "report");
  require_writable_place("report", report);
  LoadPlan const plan = load_plan(values, route_of(text_of(values, "endpoint")));
  ServerAccess const access = server_access(values);
  HttpClient client(access.address, Microseconds(values["patience"].as<double>() * 1e6));
  DrainSignals const signals([] { ::_exit(exit_failed); });
  LoadConfig const config{.bodies = body_recipe(values, client, access),
                          .api_key = access.api_key,
                          .max_concurrency = at_least_of(values, "max-concurrency", 0),
                          .stop = [&signals](std::size_t) { return signals.wanted(); }};
  LoadResult const result = run_load(client, config, plan);
  LoadFigures const figures = figures_of(result, percents, levels);
  if (!values["quiet"].as<bool>()) std::fputs(load_table(figures).c_str(), stdout);
  if (!report.empty())
    replace_file(report, load_json(figures, description_of(values, access, config.bodies.model), result));
  if (figures.completed == 0) log_warning("no request was answered");
  return figures.completed == 0 ? exit_failed : exit_done;
}

}  // namespace

int bench_serve_command(std::vector<std::string> const& words) {
  po::options_description all("", help_width, help_text_width);
  po::options_description server("Server", help_width, help_text_width);
  add_access_options(server);
  all.add(server).add(load_options()).add(request_options()).add(result_options());
  po::variables_map const values = parse_words(words, all, "");
  if (values.count("help")) {
    std::cout << introduction << all
              << "\nExit codes: 0 at least one request was answered; 1 none was; 2 the command line is wrong.\n";
    return exit_done;
  }
  return bench(values);
}

}  // namespace windlass
