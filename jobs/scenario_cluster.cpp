#include <algorithm>
#include <cmath>
#include <memory>

#include "jobs/profile_file.hpp"
#include "jobs/scenario.hpp"
#include "jobs/sim_files.hpp"
#include "src/sim/polynomial_latency.hpp"

namespace windlass {
namespace {

struct StepModel {
  std::shared_ptr<LatencyModel const> latency;
  std::int64_t kv_tokens;  ///< that fit
};

StepModel profiled_steps(JsonFields const& fields, ParallelDegree degree) {
  fields.only({"kind", "engine", "model"});
  auto const model =
      fields.choice<ProfiledModel>("model", {{"opt-13b", ProfiledModel::opt_13b}, {"opt-66b", ProfiledModel::opt_66b}});
  auto const engine = fields.choice_or<ProfiledEngine>(
      "engine", ProfiledEngine::distserve, {{"distserve", ProfiledEngine::distserve}, {"vllm", ProfiledEngine::vllm}});
  auto const profile = polynomial_profile(engine, model, degree.tp);
  auto const capacity = kv_capacity_tokens(model, degree);
  if (!profile || !capacity)
    fields.fail("model", "was not measured at tp " + std::to_string(degree.tp) + ", pp " + std::to_string(degree.pp),
                "opt-13b at tp 1, 2, 4 (vllm: 1); opt-66b at tp 2, 3, 4, 8 (vllm: 4, 8); weights must fit");
  return {std::make_shared<PolynomialLatency>(*profile, degree.pp), *capacity};
}

StepModel polynomial_steps(JsonFields const& fields, ParallelDegree degree) {
  fields.only({"kind", "prefill_ms", "decode_ms", "kv_tokens"});
  auto const read = [&](char const* name) {
    auto const terms = fields.numbers(name, 3);
    return Polynomial{terms[0], terms[1], terms[2]};
  };
  Polynomial const decode = read("decode_ms");
  PolynomialProfile const profile{.prefill = read("prefill_ms"), .small_decode = decode, .large_decode = decode};
  StageOverhead const none{.dispatch = 0, .dispatch_per_token = 0, .prefill_per_stage = 0};
  return {std::make_shared<PolynomialLatency>(profile, degree.pp, none),
          fields.integer_or("kv_tokens", unlimited, count_limits)};
}

StepModel roofline_steps(JsonFields const& fields, ParallelDegree degree) {
  fields.only({"kind", "model", "device"});
  auto const model = read_model_shape(fields.object("model"));
  auto const device = read_device_limits(fields.object("device"));
  std::int64_t const tokens = kv_tokens_beside_weights(model, device, degree);
  if (tokens == 0)
    fields.fail("model", "does not fit into the memory of " + std::to_string(degree.gpus()) + " devices",
                "a larger tp or pp, or a larger device");
  return {std::make_shared<RooflineLatency>(model, device, degree), tokens};
}

StepModel measured_steps(JsonFields const& fields, ParallelDegree degree) {
  fields.only({"kind", "path"});
  if (degree.gpus() > 1) fields.fail("path", "was measured on one instance of this machine", "tp 1 and pp 1");
  auto const profile = read_profile(fields.path("path"));
  return {std::make_shared<MeasuredLatency>(profile), profile.kv_tokens};
}

StepModel read_steps(JsonFields const& fields, ParallelDegree degree) {
  using Reader = StepModel (*)(JsonFields const&, ParallelDegree);
  return fields.choice<Reader>("kind", {{"profiled", profiled_steps},
                                        {"polynomial", polynomial_steps},
                                        {"roofline", roofline_steps},
                                        {"measured", measured_steps}})(fields, degree);
}

void add_instances(JsonFields const& fields, JsonFields const& whole, PipelineCluster& cluster) {
  fields.only({"role", "count", "tp", "pp", "steps", "max_prompts", "max_prompt_tokens", "max_context_tokens",
               "kv_tokens", "chunk_tokens"});
  ParallelDegree const degree{.tp = int(fields.integer_or("tp", 1, {1, 1024})),
                              .pp = int(fields.integer_or("pp", 1, {1, 1024}))};
  auto const steps = read_steps((fields.has("steps") ? fields : whole).object("steps"), degree);
  PipelineInstance const instance{
      .role = fields.choice<SimRole>(
          "role", {{"prefill", SimRole::prefill}, {"decode", SimRole::decode}, {"mixed", SimRole::mixed}}),
      .latency = steps.latency,
      .stages = degree.pp,
      .devices = degree.gpus(),
      .max_prompts = fields.integer_or("max_prompts", unlimited, count_limits),
      .max_prompt_tokens = fields.integer_or("max_prompt_tokens", steps.kv_tokens, count_limits),
      .max_context_tokens = fields.integer_or("max_context_tokens", unlimited, count_limits),
      .kv_tokens = fields.integer_or("kv_tokens", steps.kv_tokens, count_limits),
      .chunk_tokens = fields.integer_or("chunk_tokens", 0, {0, 1e9})};
  if (instance.chunk_tokens > 0 && (instance.role != SimRole::mixed || instance.stages > 1))
    fields.fail("chunk_tokens", "is for one stage that does both phases", "role mixed with pp 1");
  cluster.instances.insert(cluster.instances.end(), std::size_t(fields.integer_or("count", 1, {1, 1e6})), instance);
}

void require_both_phases(JsonFields const& fields, PipelineCluster const& cluster) {
  auto const any = [&](SimRole role) {
    return std::any_of(cluster.instances.begin(), cluster.instances.end(),
                       [&](PipelineInstance const& each) { return each.role == role; });
  };
  std::string const allowed = "roles for both phases: prefill with decode, or mixed";
  if (!any(SimRole::prefill) && !any(SimRole::mixed)) fields.fail("instances", "none of them prefills", allowed);
  if (any(SimRole::prefill) && !any(SimRole::decode)) fields.fail("instances", "none of them decodes", allowed);
}

int devices_of(SimCluster const& cluster, JsonFields const& fields) {
  if (auto const* machines = std::get_if<MachineCluster>(&cluster)) return int(machines->machines.size());
  if (auto const* caches = std::get_if<CacheCluster>(&cluster))
    return int(caches->prefill_instances * caches->stages + caches->decode_instances);
  if (auto const* elastic = std::get_if<ElasticCluster>(&cluster)) return int(elastic->degree_times.size());
  if (auto const* meshes = std::get_if<MeshCluster>(&cluster)) {
    int gpus = 0;
    for (ModelMesh const& mesh : meshes->meshes) gpus += mesh.gpus;
    return gpus;
  }
  int gpus = 0;
  for (JsonFields const& instance : fields.objects("instances"))
    gpus += int(instance.integer_or("count", 1, count_limits) * instance.integer_or("tp", 1, {1, 1024}) *
                instance.integer_or("pp", 1, {1, 1024}));
  return gpus;
}

Microseconds seconds(JsonFields const& fields, char const* name, double otherwise) {
  return Microseconds(fields.number_or(name, otherwise, not_negative) * 1e6);
}

/// Failures, repairs and changes of role.
void read_changes(JsonFields const& fields, PipelineCluster& cluster) {
  cluster.max_restarts = int(fields.integer_or("max_restarts", 3, {0, 1000}));
  if (fields.has("failures"))
    for (JsonFields const& failure : fields.objects("failures")) {
      failure.only({"instance", "at_s", "repaired_s"});
      auto const last = double(cluster.instances.size()) - 1;
      InstanceFailure read{.instance = std::uint32_t(failure.integer("instance", {0, last})),
                           .at_us = seconds(failure, "at_s", 0)};
      if (failure.has("repaired_s")) read.repaired_us = seconds(failure, "repaired_s", 0);
      if (read.repaired_us <= read.at_us) failure.fail("repaired_s", "is not after at_s", "a later time, or nothing");
      cluster.failures.push_back(read);
    }
  if (!fields.has("role_control")) return;
  auto const control = fields.object("role_control");
  control.only({"window_s", "switch_s", "hysteresis", "prefill_ms", "prefill_slots", "decode_ms", "decode_slots"});
  cluster.roles = {.window_us = std::max<Microseconds>(1, seconds(control, "window_s", 60)),
                   .switch_us = seconds(control, "switch_s", 0),
                   .profile = {.prefill_ms = control.number("prefill_ms", positive),
                               .prefill_slots = control.number("prefill_slots", positive),
                               .decode_ms = control.number("decode_ms", positive),
                               .decode_slots = control.number("decode_slots", positive)},
                   .hysteresis = control.number_or("hysteresis", 0.1, {0, 10})};
}

SimCluster read_pipelines(JsonFields const& fields, ServiceGoal const&) {
  fields.only({"kind", "name", "power_w", "cost_per_hour", "steps", "instances", "link", "first_token", "devices",
               "shared_prompt_tokens", "failures", "max_restarts", "role_control", "in_flight"});
  PipelineCluster cluster;
  for (JsonFields const& instance : fields.objects("instances")) add_instances(instance, fields, cluster);
  require_both_phases(fields, cluster);
  if (fields.has("link")) {
    auto const link = fields.object("link");
    link.only({"gb_per_s", "kv_bytes_per_token", "latency_us", "fabric_gb_per_s"});
    cluster.link = {.bytes_per_us = link.number("gb_per_s", positive) * 1000,
                    .kv_bytes_per_token = link.number("kv_bytes_per_token", positive),
                    .latency_us = link.integer_or("latency_us", 0, not_negative),
                    .fabric_bytes_per_us = link.number_or("fabric_gb_per_s", 0, not_negative) * 1000};
  }
  read_changes(fields, cluster);
  cluster.in_flight = fields.integer_or("in_flight", 0, {0, 1e9});
  cluster.first_token = fields.choice_or<FirstToken>(
      "first_token", FirstToken::from_prefill,
      {{"from_prefill", FirstToken::from_prefill}, {"from_decode", FirstToken::from_decode}});
  if (std::int64_t const shared = fields.integer_or("shared_prompt_tokens", 0, {0, 1e9}); shared > 0)
    return SharedPrefixCluster{.cluster = std::move(cluster), .shared_tokens = shared};
  return cluster;
}

SimCluster read_machines(JsonFields const& fields, ServiceGoal const&) {
  fields.only({"kind", "name", "power_w", "cost_per_hour", "assignment", "steps", "prompt_machines", "token_machines",
               "kv_tokens", "kv_bytes_per_token", "transfer_gb_per_s", "batch_tokens", "batch_tasks", "passed_over",
               "pending_prompt_tokens", "devices"});
  auto const steps = fields.object("steps");
  steps.only({"path", "model", "prompt_hardware", "token_hardware", "tensor_parallel"});
  auto const table = [&](char const* hardware) {
    return read_step_table({.path = steps.path("path"),
                            .model = steps.text("model"),
                            .hardware = steps.text(hardware),
                            .tensor_parallel = int(steps.integer_or("tensor_parallel", 8, {1, 64}))});
  };
  MachineCluster cluster{
      .machines = {},
      .assignment = fields.choice<MachineAssignment>(
          "assignment", {{"pools", MachineAssignment::joint_pools}, {"colocated", MachineAssignment::colocated}}),
      .limits = {.batch_tokens = fields.integer_or("batch_tokens", 2048, count_limits),
                 .batch_tasks = fields.integer_or("batch_tasks", 512, count_limits),
                 .passed_over = std::int32_t(fields.integer_or("passed_over", 4, {1, 1e6})),
                 .pending_prompt_tokens = fields.integer_or("pending_prompt_tokens", 8192, count_limits)},
      .transfer_tokens_per_us =
          fields.number("transfer_gb_per_s", positive) * 1000 / fields.number("kv_bytes_per_token", positive)};
  bool const pools = cluster.assignment == MachineAssignment::joint_pools;
  std::int64_t const kv_tokens = fields.integer("kv_tokens", count_limits);
  cluster.machines.assign(std::size_t(fields.integer("prompt_machines", {1, 1e6})),
                          {pools ? MachinePool::prompt : MachinePool::mixed, table("prompt_hardware"), kv_tokens});
  if (pools)
    cluster.machines.insert(cluster.machines.end(), std::size_t(fields.integer("token_machines", {1, 1e6})),
                            {MachinePool::token, table("token_hardware"), kv_tokens});
  return cluster;
}

RouteRule read_route(JsonFields const& fields) {
  double const threshold = fields.number_or("replicate_threshold", 2, {1, 1e9});
  RouteRule const cache_aware{.cache = CacheUse::local};
  return fields.choice_or<RouteRule>("router", prompt_tree_rule(),
                                     {{"random", shortest_queue_rule()},
                                      {"session", cache_aware},
                                      {"shortest-queue", shortest_queue_rule()},
                                      {"cache-aware", cache_aware},
                                      {"mooncake", mooncake_rule(threshold)},
                                      {"prompt-tree", prompt_tree_rule()}});
}

std::vector<CacheTier> read_tiers(JsonFields const& fields) {
  std::vector<CacheTier> tiers;
  if (!fields.has("tiers")) return tiers;
  double const kv_bytes = fields.number("kv_bytes_per_token", positive);
  for (JsonFields const& tier : fields.objects("tiers")) {
    tier.only({"name", "blocks", "gb_per_s", "shared_link"});
    tiers.push_back({.blocks = std::size_t(tier.integer("blocks", {1, 1e9})),
                     .load_us_per_token = kv_bytes / (tier.number("gb_per_s", positive) * 1000),
                     .shared_link = tier.choice_or<bool>("shared_link", false, {{"yes", true}, {"no", false}})});
  }
  return tiers;
}

void read_stages(JsonFields const& fields, CacheCluster& cluster) {
  cluster.stages = int(fields.integer_or("stages", 1, {1, 1e3}));
  cluster.chunk_tokens = fields.integer_or("prefill_chunk_tokens", 2048, count_limits);
  cluster.hop_us = fields.number_or("hop_us", 0, not_negative);
}

void read_rejection(JsonFields const& fields, ServiceGoal const& goal, CacheCluster& cluster) {
  if (fields.text_or("rejection", "none") == "none") return;
  cluster.rejection = fields.choice<RejectionRule>(
      "rejection",
      {{"late", RejectionRule::late}, {"early", RejectionRule::early}, {"predictive", RejectionRule::predictive}});
  if (cluster.rejection == RejectionRule::predictive) fields.number("decode_duration_s", positive);
  cluster.level = goal.level;
}

SimCluster read_caches(JsonFields const& fields, ServiceGoal const& goal) {
  fields.only({"kind",
               "name",
               "power_w",
               "cost_per_hour",
               "prefill_instances",
               "decode_instances",
               "prefill_us",
               "step_us",
               "kv_bytes_per_token",
               "link_gb_per_s",
               "layers",
               "block_tokens",
               "cache_blocks",
               "eviction",
               "kept",
               "router",
               "replicate_threshold",
               "rejection",
               "decode_duration_s",
               "seed",
               "devices",
               "stages",
               "prefill_chunk_tokens",
               "hop_us",
               "tiers"});
  auto const prefill = fields.numbers("prefill_us", 3), step = fields.numbers("step_us", 3);
  CacheCluster cluster{
      .prefill_instances = fields.integer("prefill_instances", {1, 1e6}),
      .decode_instances = fields.integer("decode_instances", {1, 1e6}),
      .prefill = {prefill[0], prefill[1], prefill[2]},
      .step = {step[0], step[1], step[2]},
      .kv_us_per_token =
          fields.number("kv_bytes_per_token", positive) / (fields.number("link_gb_per_s", positive) * 1000),
      .layers = fields.integer_or("layers", 80, {1, 1e4}),
      .block_tokens = std::int32_t(fields.integer_or("block_tokens", 512, {1, 1e6})),
      .cache_blocks = std::size_t(fields.integer("cache_blocks", {0, 1e9})),
      .eviction = fields.choice_or<EvictionRule>("eviction", EvictionRule::least_recent,
                                                 {{"lru", EvictionRule::least_recent},
                                                  {"lfu", EvictionRule::least_frequent},
                                                  {"length-aware", EvictionRule::deepest_first}}),
      .kept = fields.choice_or<KeptKv>(
          "kept", KeptKv::prompt,
          {{"nothing", KeptKv::nothing}, {"prompt", KeptKv::prompt}, {"prompt-and-output", KeptKv::prompt_and_output}}),
      .route = read_route(fields),
      .decode_duration_us = Microseconds(fields.number_or("decode_duration_s", 0, not_negative) * 1e6),
      .seed = std::uint64_t(fields.integer_or("seed", 0, not_negative))};
  cluster.tiers = read_tiers(fields);
  read_stages(fields, cluster);
  std::string const router = fields.text_or("router", "prompt-tree");
  if (router == "random") cluster.choice = PrefillChoice::random;
  if (router == "session") cluster.choice = PrefillChoice::session;
  read_rejection(fields, goal, cluster);
  return cluster;
}

SimCluster read_elastic(JsonFields const& fields, ServiceGoal const&) {
  fields.only({"kind", "name", "power_w", "cost_per_hour", "devices", "prefill_us", "step_us", "kv_tokens",
               "migration_us_per_token", "predicted_output_tokens", "scale_up_sequences", "max_prefill_s",
               "max_overtaking", "steps_between_pauses", "growth"});
  auto const step = fields.numbers("step_us", 3);
  ElasticCluster cluster{
      .degree_times = {},
      .step = {step[0], step[1], step[2]},
      .kv_tokens = fields.integer("kv_tokens", count_limits),
      .migration_us_per_token = fields.number_or("migration_us_per_token", 0, not_negative),
      .predicted_output_tokens = fields.integer_or("predicted_output_tokens", 1024, count_limits),
      .scale_up_sequences = fields.integer_or("scale_up_sequences", 100, count_limits),
      .steps_between_pauses = fields.integer_or("steps_between_pauses", 10, {0, 1e6}),
      .growth = fields.choice_or<ElasticGrowth>("growth", ElasticGrowth::grows,
                                                {{"grows", ElasticGrowth::grows}, {"stays", ElasticGrowth::stays}}),
      .max_prefill_us = Microseconds(fields.number_or("max_prefill_s", 0.5, positive) * 1e6),
      .max_overtaking = std::int32_t(fields.integer_or("max_overtaking", 10, {0, 1e6}))};
  for (JsonFields const& degree : fields.objects("prefill_us")) {
    degree.only({"base", "per_token", "per_square"});
    cluster.degree_times.push_back({.base_us = degree.number("base", not_negative),
                                    .per_token_us = degree.number("per_token", not_negative),
                                    .per_square_us = degree.number("per_square", not_negative)});
  }
  return cluster;
}

}  // namespace

ModelShape read_model_shape(JsonFields const& fields) {
  fields.only(
      {"layers", "hidden", "heads", "kv_heads", "head_dim", "parameters", "weight_bytes", "kv_bytes_per_value"});
  double const parameters = fields.number("parameters", positive);
  std::int64_t const heads = fields.integer("heads", {1, 1e5}), hidden = fields.integer("hidden", {1, 1e7});
  return {.layers = fields.integer("layers", {1, 1e5}),
          .hidden = hidden,
          .heads = heads,
          .kv_heads = fields.integer_or("kv_heads", heads, {1, 1e5}),
          .head_dim = fields.integer_or("head_dim", hidden / heads, {1, 1e5}),
          .parameters = parameters,
          .weight_bytes = fields.number_or("weight_bytes", 2 * parameters, positive),
          .kv_bytes_per_value = fields.number_or("kv_bytes_per_value", 2, {0.1, 8})};
}

DeviceLimits read_device_limits(JsonFields const& fields) {
  fields.only({"tflops", "memory_gb", "memory_gb_per_s", "link_gb_per_s", "node_link_gb_per_s", "compute_efficiency",
               "memory_efficiency", "step_us", "collective_us"});
  double const link = fields.number("link_gb_per_s", positive);
  return {.flops_per_us = fields.number("tflops", positive) * 1e6,
          .bytes_per_us = fields.number("memory_gb_per_s", positive) * 1e3,
          .memory_bytes = fields.number("memory_gb", positive) * 1e9,
          .link_bytes_per_us = link * 1e3,
          .node_link_bytes_per_us = fields.number_or("node_link_gb_per_s", link, positive) * 1e3,
          .compute_efficiency = fields.number_or("compute_efficiency", 0.55, {0.01, 1}),
          .memory_efficiency = fields.number_or("memory_efficiency", 0.75, {0.01, 1}),
          .step_us = fields.number_or("step_us", 5'000, not_negative),
          .collective_us = fields.number_or("collective_us", 15, not_negative)};
}

ScenarioCluster read_cluster(JsonFields const& fields, ServiceGoal const& goal) {
  using Reader = SimCluster (*)(JsonFields const&, ServiceGoal const&);
  auto const read = fields.choice<Reader>("kind", {{"pipelines", read_pipelines},
                                                   {"machines", read_machines},
                                                   {"caches", read_caches},
                                                   {"elastic", read_elastic},
                                                   {"meshes", read_meshes}});
  ScenarioCluster named{.name = fields.text_or("name", "cluster"), .cluster = read(fields, goal), .devices = 0};
  named.cost_per_hour = fields.number_or("cost_per_hour", 0, not_negative);
  if (fields.has("power_w")) {
    auto const power = fields.object("power_w");
    power.only({"idle", "prefill", "decode"});
    named.power = {.idle_w = power.number("idle", not_negative),
                   .prefill_w = power.number("prefill", not_negative),
                   .decode_w = power.number("decode", not_negative)};
  }
  named.devices =
      fields.has("devices") ? int(fields.integer("devices", count_limits)) : devices_of(named.cluster, fields);
  return named;
}

}  // namespace windlass
