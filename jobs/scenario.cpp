#include "jobs/scenario.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "jobs/sim_files.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

double checked_rate(double rate_per_s) {
  if (rate_per_s <= 0)
    throw InputError(
        "workload.rate_per_s is missing; give it in the file, or --rate or --sweep (only a trace has its own)");
  return rate_per_s;
}

/// A trace at another mean rate: arrival times are stretched, everything else stays.
WorkloadSource stretched(Workload trace) {
  return [trace = std::make_shared<Workload const>(std::move(trace))](double rate_per_s) {
    Workload scaled = *trace;
    double const span_s = std::max(1e-6, double(scaled.back().arrival_us) / 1e6);
    double const factor = rate_per_s > 0 ? double(scaled.size()) / span_s / rate_per_s : 1;
    for (SimRequest& request : scaled) request.arrival_us = std::llround(double(request.arrival_us) * factor);
    return scaled;
  };
}

using TokenSampler = std::function<double(RandomStream&)>;

/// A number of tokens: fixed, log-normal, exponential, or even in its logarithm.
TokenSampler read_tokens(JsonFields const& fields, std::string_view name) {
  if (fields.value(name).is_number()) return [fixed = fields.number(name, {1, 1e7})](RandomStream&) { return fixed; };
  auto const drawn = fields.object(name);
  drawn.only({"mean", "deviation", "max", "low", "high"});
  if (drawn.has("low")) {
    double const low = drawn.number("low", {1, 1e7}), high = drawn.number("high", {low, 1e7});
    return [=](RandomStream& random) { return low * std::pow(high / low, random.uniform()); };
  }
  double const mean = drawn.number("mean", {1, 1e7}), most = drawn.number_or("max", 1e7, {1, 1e7});
  if (!drawn.has("deviation")) return [=](RandomStream& random) { return std::min(most, random.exponential(mean)); };
  double const deviation = drawn.number("deviation", positive);
  return [=](RandomStream& random) { return std::min(most, random.log_normal(mean, deviation)); };
}

LengthSampler read_named_lengths(JsonFields const& fields) {
  using Make = LengthSampler (*)();
  return fields.choice<Make>("lengths", {{"sharegpt", share_gpt_lengths},
                                         {"azure-code", azure_code_lengths},
                                         {"azure-conversation", azure_conversation_lengths}})();
}

LengthSampler read_drawn_lengths(JsonFields const& lengths) {
  lengths.only({"prompt", "output"});
  auto const prompt = read_tokens(lengths, "prompt"), output = read_tokens(lengths, "output");
  return [=](RandomStream& random) {
    auto const prompt_tokens = std::int32_t(prompt(random));
    return TokenLengths{std::max(1, prompt_tokens), std::max(1, std::int32_t(output(random)))};
  };
}

LengthSampler read_lengths(JsonFields const& fields) {
  if (fields.value("lengths").is_string()) return read_named_lengths(fields);
  if (!fields.value("lengths").is_array()) return read_drawn_lengths(fields.object("lengths"));
  std::vector<LengthSampler> mixture;  // each as often as the others
  for (JsonFields const& part : fields.objects("lengths")) mixture.push_back(read_drawn_lengths(part));
  return [mixture](RandomStream& random) { return mixture[random.below(mixture.size())](random); };
}

WorkloadSource read_drawn(JsonFields const& fields, std::uint64_t seed_offset) {
  fields.only({"kind", "rate_per_s", "requests", "variation", "lengths", "lengths_of", "seed"});
  std::int64_t const requests = fields.integer("requests", count_limits);
  double const variation = fields.number_or("variation", 1, {0, 100});
  auto const seed = std::uint64_t(fields.integer_or("seed", 0, not_negative)) + seed_offset;
  auto const lengths = fields.has("lengths_of") ? read_azure_lengths(fields.path("lengths_of")) : read_lengths(fields);
  return [=](double rate_per_s) {
    return make_workload({.requests = requests,
                          .arrivals = {.rate_per_s = checked_rate(rate_per_s), .variation = variation},
                          .lengths = lengths,
                          .seed = seed});
  };
}

WorkloadSource read_conversations(JsonFields const& fields, std::uint64_t seed_offset) {
  fields.only({"kind", "rate_per_s", "requests", "variation", "documents", "zipf_exponent", "follow_up_share",
               "document_tokens", "question_tokens", "output_tokens", "block_tokens", "seed"});
  ConversationRecipe const recipe{
      .requests = fields.integer("requests", count_limits),
      .arrivals = {.rate_per_s = 1, .variation = fields.number_or("variation", 1, {0, 100})},
      .documents = fields.integer_or("documents", 200, count_limits),
      .zipf_exponent = fields.number_or("zipf_exponent", 1, {0, 10}),
      .follow_up_share = fields.number_or("follow_up_share", 0.5, {0, 1}),
      .document_tokens = fields.number_or("document_tokens", 5000, positive),
      .question_tokens = fields.number_or("question_tokens", 1500, positive),
      .output_tokens = fields.number_or("output_tokens", 182, positive),
      .block_tokens = std::int32_t(fields.integer_or("block_tokens", 512, {1, 1e6})),
      .seed = std::uint64_t(fields.integer_or("seed", 0, not_negative)) + seed_offset};
  return [recipe](double rate_per_s) {
    ConversationRecipe at_rate = recipe;
    at_rate.arrivals.rate_per_s = checked_rate(rate_per_s);
    return make_conversations(at_rate);
  };
}

/// Several models, each with arrivals of its own: together Poisson, each request's model drawn by popularity.
WorkloadSource read_models(JsonFields const& fields, std::uint64_t seed_offset) {
  fields.only({"kind", "rate_per_s", "requests", "models", "exponent", "lengths", "seed"});
  std::int64_t const requests = fields.integer("requests", count_limits);
  auto const rates = popularity_rates(fields.integer("models", {1, 1e4}), fields.number_or("exponent", 1, {0, 10}), 1);
  auto const lengths = read_lengths(fields);
  auto const seed = std::uint64_t(fields.integer_or("seed", 0, not_negative)) + seed_offset;
  double const all = std::accumulate(rates.begin(), rates.end(), 0.0);
  return [=](double rate_per_s) {
    Workload workload = make_workload(
        {.requests = requests, .arrivals = {.rate_per_s = checked_rate(rate_per_s)}, .lengths = lengths, .seed = seed});
    constexpr std::uint64_t model_stream = 7;
    RandomStream random(seed, model_stream);
    for (SimRequest& request : workload) {
      double left = random.uniform() * all;
      while (request.model + 1 < std::int32_t(rates.size()) && left >= rates[std::size_t(request.model)])
        left -= rates[std::size_t(request.model++)];
    }
    return workload;
  };
}

WorkloadSource read_trace(JsonFields const& fields, Workload (*read)(std::string const&)) {
  fields.only({"kind", "rate_per_s", "path", "requests"});
  std::string const path = fields.path("path");
  auto trace = read(path);
  if (trace.empty()) fields.fail("path", path + " holds no request", "a trace with requests");
  if (fields.has("requests"))
    trace.resize(std::min(trace.size(), std::size_t(fields.integer("requests", count_limits))));
  return stretched(std::move(trace));
}

std::vector<ScenarioCluster> read_clusters(JsonFields const& fields, ServiceGoal const& goal) {
  if (!fields.has("clusters")) return {read_cluster(fields.object("cluster"), goal)};
  std::vector<ScenarioCluster> clusters;
  for (JsonFields const& each : fields.objects("clusters")) clusters.push_back(read_cluster(each, goal));
  return clusters;
}

GoodputRange read_search(JsonFields const& fields) {
  fields.only({"low", "high", "tolerance", "seeds"});
  double const low = fields.number_or("low", 0, not_negative), high = fields.number("high", positive);
  if (high <= low) fields.fail("high", "is not above low", "a rate per device above low");
  return {.low = low,
          .high = high,
          .tolerance = fields.number_or("tolerance", (high - low) / 100, positive),
          .seeds = int(fields.integer_or("seeds", 1, {1, 1000}))};
}

}  // namespace

WorkloadSource read_workload(JsonFields const& fields, std::uint64_t seed_offset) {
  using Reader = WorkloadSource (*)(JsonFields const&, std::uint64_t);
  auto const reader = fields.choice<Reader>(
      "kind", {{"drawn", read_drawn},
               {"conversations", read_conversations},
               {"models", read_models},
               {"azure", [](JsonFields const& f, std::uint64_t) { return read_trace(f, read_azure_trace); }},
               {"mooncake", [](JsonFields const& f, std::uint64_t) { return read_trace(f, read_mooncake_trace); }}});
  return reader(fields, seed_offset);
}

ServiceGoal read_service_goal(JsonFields const& fields) {
  fields.only({"ttft_ms", "tpot_ms", "attainment", "rule", "normalised_ms", "slowdowns_of"});
  ServiceGoal goal{
      .level = {.ttft_ms = fields.number("ttft_ms", positive), .tpot_ms = fields.number("tpot_ms", positive)},
      .share = fields.number_or("attainment", 0.9, {0.01, 1}),
      .rule = fields.choice_or<AttainmentRule>(
          "rule", AttainmentRule::joint, {{"joint", AttainmentRule::joint}, {"separate", AttainmentRule::separate}}),
      .normalised_ms = fields.number_or("normalised_ms", 0, not_negative),
      .unloaded_table = nullptr};
  if (!fields.has("slowdowns_of")) return goal;
  auto const of = fields.object("slowdowns_of");
  of.only({"path", "model", "hardware", "tensor_parallel"});
  goal.unloaded_table = read_step_table({.path = of.path("path"),
                                         .model = of.text("model"),
                                         .hardware = of.text("hardware"),
                                         .tensor_parallel = int(of.integer_or("tensor_parallel", 8, {1, 64}))});
  return goal;
}

bool meets(ServiceGoal const& goal, std::vector<RequestOutcome> const& outcomes) {
  if (goal.unloaded_table != nullptr) return meets_splitwise_levels(slowdowns(outcomes, *goal.unloaded_table));
  if (goal.normalised_ms > 0) {
    bool const all = count_of(outcomes, RequestEnd::completed) == std::int64_t(outcomes.size());
    return all && mean(normalised_ms(outcomes)) <= goal.normalised_ms;
  }
  return meets(outcomes, {.level = goal.level, .target = goal.share, .rule = goal.rule});
}

Scenario read_scenario(std::string const& path) {
  JsonFields const fields(read_json_with_comments(path));
  fields.only({"name", "workload", "service_level", "cluster", "clusters", "search"});
  auto const workload = fields.object("workload");
  Scenario scenario{.path = path,
                    .name = fields.text_or("name", path),
                    .clusters = {},
                    .rate_per_s = workload.number_or("rate_per_s", 0, not_negative),
                    .goal = read_service_goal(fields.object("service_level")),
                    .search = {},
                    .workload = read_workload(workload),
                    .other_seeds = {}};
  scenario.clusters = read_clusters(fields, scenario.goal);
  if (!fields.has("search")) return scenario;
  scenario.search = read_search(fields.object("search"));
  std::string const kind = workload.text("kind");
  if (scenario.search->seeds > 1 && (kind == "azure" || kind == "mooncake"))
    fields.object("search").fail("seeds", "is for drawn workloads; a trace has no seed", "1");
  for (int i = 1; i < scenario.search->seeds; ++i)
    scenario.other_seeds.push_back(read_workload(workload, std::uint64_t(i)));
  return scenario;
}

}  // namespace windlass
