#include "jobs/mesh_search.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "src/core/text.hpp"
#include "src/policy/goodput.hpp"
#include "src/policy/multiplex_placement.hpp"

namespace windlass {
namespace {

/// Of a share of the SMs: compute falls with it, memory bandwidth is reached with less than half of them (MuxServe's
/// measurements: decode 1.5 times, prefill 2.7 times slower at 30 %).
DeviceLimits share_of(DeviceLimits const& device, int sm_percent) {
  DeviceLimits part = device;
  part.flops_per_us *= sm_percent / 100.0;
  part.bytes_per_us *= std::min(1.0, 2.3 * sm_percent / 100.0);
  return part;
}

MultiplexProfile profile_of(ModelShape const& shape, MeshProblem const& problem) {
  MultiplexProfile profile;
  for (int gpus = 1; gpus <= problem.gpus_per_node; gpus *= 2) {
    if (shape.heads % gpus != 0 || kv_tokens_beside_weights(shape, problem.device, {gpus, 1}) == 0) continue;
    for (int percent = 30; percent <= 100; percent += 10) {
      RooflineLatency const latency(shape, share_of(problem.device, percent), {gpus, 1});
      for (int batch = 1; batch <= 512; batch *= 2)
        for (int tokens = 128; tokens <= 2048; tokens *= 4) {
          StepWork const prefill{.prompts = batch,
                                 .prompt_tokens = std::int64_t(batch) * tokens,
                                 .prompt_tokens_squared = double(batch) * tokens * tokens};
          StepWork const decode{.sequences = batch, .sequence_context = std::int64_t(batch) * tokens};
          profile[gpus][percent].push_back({.batch = batch,
                                            .tokens = tokens,
                                            .prefill_s = double(latency.step_us(prefill, 0)) / 1e6,
                                            .decode_s = double(latency.step_us(decode, 0)) / 1e6});
        }
    }
  }
  return profile;
}

class Search {
 public:
  explicit Search(MeshProblem const& problem) : problem_(problem) {
    for (SharedModel const& model : problem.models) profiles_.push_back(profile_of(model.shape, problem));
  }

  std::vector<RankedMeshes> run() {
    std::vector<RankedMeshes> all{ranked("multiplexed"), ranked("in turns"), ranked("alone")};
    std::stable_sort(all.begin(), all.end(),
                     [](RankedMeshes const& a, RankedMeshes const& b) { return a.goodput_per_s > b.goodput_per_s; });
    return all;
  }

 private:
  int gpus() const { return problem_.nodes * problem_.gpus_per_node; }

  std::vector<MultiplexModel> models_at(double rate) const {
    std::vector<MultiplexModel> models;
    for (std::size_t i = 0; i < problem_.models.size(); ++i) {
      SharedModel const& model = problem_.models[i];
      models.push_back({.profile = &profiles_[i],
                        .billions = int(std::ceil(model.shape.weight_bytes / 2e9)),
                        .rate = model.share * rate,
                        .kv_gib_per_token = model.shape.kv_bytes_per_token() / (1024.0 * 1024 * 1024),
                        .prompt_tokens = double(problem_.mean_lengths.prompt_tokens),
                        .output_tokens = double(problem_.mean_lengths.output_tokens)});
    }
    return models;
  }

  int least_gpus(std::size_t model) const { return profiles_[model].empty() ? 0 : profiles_[model].begin()->first; }

  /// As few GPUs as each needs, then doubled where most requests wait for each GPU.
  std::vector<PlacedMesh> alone() const {
    std::vector<PlacedMesh> meshes;
    int used = 0;
    for (std::size_t i = 0; i < problem_.models.size(); ++i) {
      if (least_gpus(i) == 0) return {};
      meshes.push_back({.gpus = least_gpus(i), .models = {{.model = i, .sm_percent = 100}}});
      used += least_gpus(i);
    }
    if (used > gpus()) return {};
    for (;;) {
      PlacedMesh* busiest = nullptr;
      double most = 0;
      for (PlacedMesh& mesh : meshes) {
        SharedModel const& model = problem_.models[mesh.models[0].model];
        bool const grows = used + mesh.gpus <= gpus() && profiles_[mesh.models[0].model].contains(2 * mesh.gpus);
        if (double const load = model.share * model.shape.parameters / mesh.gpus; grows && load > most)
          most = load, busiest = &mesh;
      }
      if (busiest == nullptr) return meshes;
      used += busiest->gpus;
      busiest->gpus *= 2;
    }
  }

  MeshCluster cluster_at(std::string const& kind, double rate) const {
    bool const shares = kind == "multiplexed";
    auto const models = models_at(rate);
    auto const placed = kind == "alone"
                            ? alone()
                            : plan_multiplex_placement(
                                  {.models = models, .nodes = problem_.nodes, .gpus_per_node = problem_.gpus_per_node})
                                  .meshes;
    MeshCluster cluster{
        .meshes = {}, .mean_tokens = double(problem_.mean_lengths.prompt_tokens + problem_.mean_lengths.output_tokens)};
    if (!shares) cluster.overload_parts = 0;
    for (PlacedMesh const& mesh : placed) {
      if (mesh.models.empty()) continue;
      double free_bytes = 0.9 * problem_.device.memory_bytes * mesh.gpus;
      ModelMesh made{.gpus = mesh.gpus, .head_blocks = 0, .models = {}};
      for (PlacedModel const& each : mesh.models) {
        ModelShape const& shape = problem_.models[each.model].shape;
        free_bytes -= shape.weight_bytes;
        made.models.push_back({.model = std::int32_t(each.model),
                               .times = std::make_shared<SharedStepTimes>(profiles_[each.model].at(mesh.gpus)),
                               .rate_per_s = models[each.model].rate,
                               .blocks_per_block = std::max<std::int64_t>(1, shape.layers * shape.kv_heads / mesh.gpus),
                               .prefill_parts = 10,
                               .decode_parts = shares ? std::max(1, each.sm_percent / 10) : 10});
      }
      ModelShape const& shape = problem_.models[mesh.models[0].model].shape;
      double const block_bytes = 2.0 * double(shape.head_dim) * shape.kv_bytes_per_value * cluster.block_tokens;
      made.head_blocks = std::max<std::int64_t>(1, std::int64_t(free_bytes / mesh.gpus / block_bytes));
      cluster.meshes.push_back(std::move(made));
    }
    return cluster;
  }

  std::vector<RequestOutcome> outcomes(std::string const& kind, double rate) const {
    auto const cluster = cluster_at(kind, rate);
    return cluster.meshes.empty() ? std::vector<RequestOutcome>{} : simulate(cluster, problem_.workload(rate)).outcomes;
  }

  RankedMeshes ranked(std::string const& kind) const {
    RankedMeshes result{.kind = kind, .meshes = {}, .limit = "memory"};
    auto const meets = [&](double rate) { return attainment(outcomes(kind, rate), problem_.level) >= problem_.target; };
    double high = 1;
    while (!meets(high))
      if (high /= 2; high < 0.05) return result;
    while (high < 1e6 && meets(high * 2)) high *= 2;
    result.goodput_per_s =
        plan_goodput({.meets = meets, .low_rate = high, .high_rate = 2 * high, .tolerance = 0.03 * high}).rate;
    auto const use = [&](double rate) {
      auto const ended = outcomes(kind, rate);
      return std::pair(percentile(ttfts_ms(ended), problem_.target) / problem_.level.ttft_ms,
                       percentile(tpots_ms(ended), problem_.target) / problem_.level.tpot_ms);
    };
    std::tie(result.ttft_use, result.tpot_use) = use(result.goodput_per_s);
    auto const [ttft, tpot] = use(1.1 * result.goodput_per_s);
    result.limit = ttft >= tpot ? "TTFT" : "TPOT";
    for (ModelMesh const& mesh : cluster_at(kind, result.goodput_per_s).meshes) {
      NamedMesh named{.gpus = mesh.gpus, .models = {}};
      for (MeshModel const& model : mesh.models) named.models.push_back(problem_.models[std::size_t(model.model)].name);
      result.meshes.push_back(std::move(named));
    }
    return result;
  }

  MeshProblem const& problem_;
  std::vector<MultiplexProfile> profiles_;
};

}  // namespace

bool names_several_models(std::string const& path) { return JsonFields(read_json_with_comments(path)).has("models"); }

MeshProblem read_mesh_problem(std::string const& path) {
  JsonFields const fields(read_json_with_comments(path));
  fields.only({"name", "models", "device", "nodes", "gpus_per_node", "workload", "service_level"});
  auto const goal = read_service_goal(fields.object("service_level"));
  MeshProblem problem{.models = {},
                      .device = read_device_limits(fields.object("device")),
                      .nodes = int(fields.integer("nodes", {1, 16})),
                      .gpus_per_node = int(fields.integer("gpus_per_node", {1, 8})),
                      .workload = {},
                      .level = goal.level,
                      .target = goal.share,
                      .mean_lengths = {}};
  double shares = 0;
  for (JsonFields const& model : fields.objects("models")) {
    model.only({"name", "share", "shape"});
    problem.models.push_back({.name = model.text("name"),
                              .share = model.number("share", positive),
                              .shape = read_model_shape(model.object("shape"))});
    shares += problem.models.back().share;
  }
  for (SharedModel& model : problem.models) model.share /= shares;
  problem.workload = [source = read_workload(fields.object("workload")), models = problem.models](double rate) {
    Workload workload = source(rate);
    RandomStream random(1, 7);
    for (SimRequest& request : workload) {
      double left = random.uniform();
      request.model = 0;
      while (std::size_t(request.model) + 1 < models.size() && left >= models[std::size_t(request.model)].share)
        left -= models[std::size_t(request.model++)].share;
    }
    return workload;
  };
  double prompt = 0, output = 0;
  Workload const sample = problem.workload(1);
  for (SimRequest const& request : sample)
    prompt += request.lengths.prompt_tokens, output += request.lengths.output_tokens;
  problem.mean_lengths = {std::int32_t(prompt / double(sample.size())), std::int32_t(output / double(sample.size()))};
  return problem;
}

std::vector<RankedMeshes> search_meshes(MeshProblem const& problem) { return Search(problem).run(); }

namespace {

std::string rows(MeshProblem const& problem, std::vector<RankedMeshes> const& layouts) {
  std::string words = "models on GPUs    req/s all  req/s/GPU  TTFT use  TPOT use  limit\n";
  for (RankedMeshes const& layout : layouts) {
    char line[160];
    std::snprintf(line, sizeof line, "%-16s %10.2f %10.3f %8.0f%% %8.0f%%  %s\n", layout.kind.c_str(),
                  layout.goodput_per_s, layout.goodput_per_s / (problem.nodes * problem.gpus_per_node),
                  100 * layout.ttft_use, 100 * layout.tpot_use, layout.limit.c_str());
    words += line;
  }
  return words;
}

std::string meshes_of(RankedMeshes const& layout) {
  std::string words = "\nBest, " + layout.kind + ":\n";
  for (NamedMesh const& mesh : layout.meshes) {
    std::string names;
    for (std::string const& name : mesh.models) names += (names.empty() ? "" : ", ") + name;
    words += text("  ", mesh.gpus, mesh.gpus == 1 ? " GPU:  " : " GPUs: ", names, "\n");
  }
  return words;
}

double rounded(double factor) { return std::round(100 * factor) / 100; }

std::string advice(RankedMeshes const& best, RankedMeshes const& alone) {
  if (best.kind == "alone") return "Give each model GPUs of its own: sharing serves no more.\n";
  if (alone.goodput_per_s <= 0) return "Share: the models do not fit beside each other on GPUs of their own.\n";
  return text("Share: ", rounded(best.goodput_per_s / alone.goodput_per_s),
              " times the requests of GPUs of their own, where ", alone.limit,
              " breaks first for the models asked for most.\n");
}

/// A job serves one model on devices of its own: one job step for each.
std::string job(MeshProblem const& problem, RankedMeshes const& best, RankedMeshes const& alone) {
  if (alone.goodput_per_s <= 0)
    return "None of them runs as a job: a job serves one model on devices of its own. Take devices enough for each "
           "model, or fewer models.\n";
  std::string words;
  if (best.kind != "alone")
    words += text("Sharing is simulated only: a job serves one model on devices of its own; alone they serve ",
                  rounded(alone.goodput_per_s), " requests/s.\n");
  words += text("\nTo run each model alone, as steps of one job (its name stands for its file):\n\nsbatch --nodes=",
                problem.nodes, " --ntasks-per-node=", problem.gpus_per_node, " <<'END'\n#!/bin/bash\n");
  for (NamedMesh const& mesh : alone.meshes) {
    std::string const& name = mesh.models.front();
    words += text("srun --exact --nodes=1 --ntasks=", mesh.gpus, " windlass batch --model ", name, " --input ", name,
                  ".jsonl --output ", name, ".out.jsonl --layout mixed=1xtp", mesh.gpus, " &\n");
  }
  return words + "wait\nEND\n";
}

}  // namespace

std::string mesh_table(MeshProblem const& problem, std::vector<RankedMeshes> const& layouts) {
  RankedMeshes const& best = layouts.front();
  RankedMeshes const& alone =
      *std::find_if(layouts.begin(), layouts.end(), [](auto const& each) { return each.kind == "alone"; });
  return rows(problem, layouts) + meshes_of(best) + advice(best, alone) + job(problem, best, alone);
}

}  // namespace windlass
