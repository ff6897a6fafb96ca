#include <algorithm>
#include <cmath>

#include "jobs/scenario.hpp"
#include "jobs/sim_files.hpp"
#include "src/policy/multiplex_placement.hpp"

namespace windlass {
namespace {

/// One model of the cluster: its measurements, its shape by its size in billions, and where it lies when alone.
struct NamedModel {
  std::string profile;  ///< "llama-13b"
  int alone_gpus;
};

struct LlamaShape {
  double layers, hidden;
};

LlamaShape shape_of(int billions) {
  if (billions >= 65) return {80, 8192};
  if (billions >= 30) return {60, 6656};
  return billions >= 13 ? LlamaShape{40, 5120} : LlamaShape{32, 4096};
}

double kv_gib_per_token(int billions) {
  auto const shape = shape_of(billions);
  return shape.layers * shape.hidden * 2 * 2 / (1024.0 * 1024 * 1024);
}

int billions_of(std::string const& profile) { return std::stoi(profile.substr(profile.find('-') + 1)); }

struct MeshProblem {
  std::map<std::string, MultiplexProfile> profiles;
  std::vector<NamedModel> names;
  std::vector<MultiplexModel> models;
};

MeshProblem read_problem(JsonFields const& fields) {
  MeshProblem problem;
  problem.profiles = read_multiplex_profiles(fields.path("profiles"));
  for (JsonFields const& model : fields.objects("models")) {
    model.only({"profile", "count", "alone_gpus"});
    std::string const name = model.text("profile");
    if (!problem.profiles.contains(name)) model.fail("profile", name + " is not in the table", "a model of the table");
    int const alone = int(model.integer_or("alone_gpus", 1, {1, 8}));
    if (!problem.profiles.at(name).contains(alone))
      model.fail("alone_gpus", name + " was not measured on so many GPUs", "a number of GPUs of the table");
    problem.names.insert(problem.names.end(), std::size_t(model.integer_or("count", 1, {1, 1e4})), {name, alone});
  }
  auto const rates = popularity_rates(std::int64_t(problem.names.size()), fields.number_or("exponent", 1, {0, 10}),
                                      fields.number("max_rate_per_s", positive));
  double const prompt = fields.number_or("prompt_tokens", 161, positive),
               output = fields.number_or("output_tokens", 337, positive);
  for (std::size_t i = 0; i < rates.size(); ++i) {
    int const billions = billions_of(problem.names[i].profile);
    problem.models.push_back({.profile = &problem.profiles.at(problem.names[i].profile),
                              .billions = billions,
                              .rate = rates[i],
                              .kv_gib_per_token = kv_gib_per_token(billions),
                              .prompt_tokens = prompt,
                              .output_tokens = output});
  }
  return problem;
}

/// What a mesh may run at once.
enum class Sharing : std::uint8_t { shares, takes_turns };

int prefill_parts_of(int billions) { return billions >= 30 ? 10 : billions >= 13 ? 9 : 8; }

ModelMesh mesh_of(PlacedMesh const& placed, MeshProblem const& problem, Sharing sharing) {
  constexpr double head_block_bytes = 2.0 * 128 * 2 * 16, activation_gb = 6, process_gb = 1.6;
  double free_gb = gpu_gb;
  ModelMesh mesh{.gpus = placed.gpus, .head_blocks = 0, .models = {}};
  for (PlacedModel const& each : placed.models) {
    MultiplexModel const& model = problem.models[each.model];
    free_gb -= model.weights_gb() / placed.gpus + activation_gb + process_gb;
    bool const shares = sharing == Sharing::shares;
    auto const shape = shape_of(model.billions);
    mesh.models.push_back(
        {.model = std::int32_t(each.model),
         .times = std::make_shared<SharedStepTimes>(model.profile->at(placed.gpus), model.overhead_us_per_sequence()),
         .rate_per_s = model.rate,
         .blocks_per_block = std::llround(shape.layers * shape.hidden / 128 / placed.gpus),
         .prefill_parts = shares ? prefill_parts_of(model.billions) : 10,
         .decode_parts = shares ? each.sm_percent / 10 : 9});
  }
  mesh.head_blocks = std::max<std::int64_t>(1, std::int64_t(free_gb * 1e9 / head_block_bytes));
  return mesh;
}

}  // namespace

std::vector<double> popularity_rates(std::int64_t models, double exponent, double max_rate) {
  std::vector<double> rates;
  for (std::int64_t i = 0; i < models; ++i) rates.push_back(max_rate * std::pow(double(i + 1), -exponent));
  return rates;
}

SimCluster read_meshes(JsonFields const& fields, ServiceGoal const&) {
  fields.only({"kind", "name", "devices", "profiles", "models", "exponent", "max_rate_per_s", "prompt_tokens",
               "output_tokens", "nodes", "gpus_per_node", "placement", "scheduling", "quotas", "power_w",
               "cost_per_hour"});
  enum class Placement : std::uint8_t { multiplexed, temporal, spatial };
  auto const placement = fields.choice<Placement>(
      "placement",
      {{"multiplexed", Placement::multiplexed}, {"temporal", Placement::temporal}, {"spatial", Placement::spatial}});
  auto const problem = read_problem(fields);
  std::vector<PlacedMesh> meshes;
  if (placement == Placement::spatial)
    for (std::size_t i = 0; i < problem.models.size(); ++i)
      meshes.push_back({.gpus = problem.names[i].alone_gpus, .models = {{.model = i, .sm_percent = 100}}});
  else
    meshes = plan_multiplex_placement({.models = problem.models,
                                       .nodes = int(fields.integer("nodes", {1, 64})),
                                       .gpus_per_node = int(fields.integer_or("gpus_per_node", 8, {1, 8}))})
                 .meshes;
  if (meshes.empty()) fields.fail("nodes", "is too small for these models", "more nodes, or fewer models");
  MeshCluster cluster{.meshes = {},
                      .scheduling = fields.choice_or<SchedulingRule>("scheduling", SchedulingRule::prefill_first,
                                                                     {{"adbs", SchedulingRule::prefill_first},
                                                                      {"round-robin", SchedulingRule::round_robin},
                                                                      {"first-come", SchedulingRule::first_come}}),
                      .quotas = fields.choice_or<QuotaRule>(
                          "quotas", QuotaRule::adapted,
                          {{"adapted", QuotaRule::adapted}, {"fixed", QuotaRule::fixed}, {"none", QuotaRule::none}}),
                      .mean_tokens = problem.models.front().prompt_tokens + problem.models.front().output_tokens};
  Sharing const sharing = placement == Placement::multiplexed ? Sharing::shares : Sharing::takes_turns;
  if (sharing == Sharing::takes_turns) cluster.overload_parts = 0;
  for (PlacedMesh const& mesh : meshes)
    if (!mesh.models.empty()) cluster.meshes.push_back(mesh_of(mesh, problem, sharing));
  return cluster;
}

}  // namespace windlass
