// windlass plan: which layout of instances serves the most.
#include <algorithm>
#include <boost/program_options/value_semantic.hpp>
#include <cstdio>
#include <iostream>

#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/layout_search.hpp"
#include "jobs/mesh_search.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/profile_file.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

LayoutProblem read_problem(std::string const& path) {
  JsonFields const fields(read_json_with_comments(path));
  fields.only({"name", "model", "device", "steps", "nodes", "gpus_per_node", "workload", "service_level"});
  auto const goal = read_service_goal(fields.object("service_level"));
  std::optional<MeasuredProfile> measured;
  if (fields.has("steps")) {
    auto const steps = fields.object("steps");
    steps.only({"kind", "path"});
    if (steps.text("kind") != "measured")
      steps.fail("kind", "is not measured", "measured; leave steps out for a roofline");
    measured = read_profile(steps.path("path"));
  }
  return {.model = read_model_shape(fields.object("model")),
          .device = read_device_limits(fields.object("device")),
          .nodes = int(fields.integer("nodes", {1, 4096})),
          .gpus_per_node = int(fields.integer("gpus_per_node", {1, 64})),
          .workload = read_workload(fields.object("workload")),
          .level = goal.level,
          .target = goal.share,
          .measured = std::move(measured)};
}

char const* kind_name(LayoutKind kind) {
  switch (kind) {
    case LayoutKind::colocated:
      return "colocated";
    case LayoutKind::chunked:
      return "colocated, chunked";
    case LayoutKind::elastic:
      return "elastic group";
    case LayoutKind::pair_in_node:
      return "disaggregated, in nodes";
    case LayoutKind::apart:
      return "disaggregated, any node";
  }
  return "";
}

bool disaggregates(LayoutKind kind) { return kind == LayoutKind::pair_in_node || kind == LayoutKind::apart; }

/// `windlass batch` has no elastic role.
bool runs_as_job(RankedLayout const& layout) { return layout.kind != LayoutKind::elastic; }

std::string degrees(RankedLayout const& layout) {
  auto const one = [&](int count, ParallelDegree const& degree) {
    return text(count, " x tp", degree.tp, " pp", degree.pp * layout.pp_cross);
  };
  if (disaggregates(layout.kind))
    return one(layout.prefill_instances, layout.prefill) + " prefill + " + one(layout.decode_instances, layout.decode) +
           " decode";
  return one(layout.prefill_instances, layout.prefill);
}

/// As --layout takes a layout without stages: all units of the cluster, and the ranks that are left.
std::string layout_words(RankedLayout const& layout, LayoutProblem const& problem) {
  auto const item = [&](char const* role, int count, ParallelDegree degree) {
    return text(role, "=", count * layout.units, "xtp", degree.tp);
  };
  int const spare = problem.nodes * problem.gpus_per_node - layout.units * layout.gpus;
  std::string const rest = spare > 0 ? text(",spare=", spare) : "";
  if (!disaggregates(layout.kind)) return item("mixed", 1, layout.prefill) + rest;
  return item("prefill", layout.prefill_instances, layout.prefill) + "," +
         item("decode", layout.decode_instances, layout.decode) + rest;
}

void print_table(std::vector<RankedLayout> const& layouts, std::size_t rows) {
  std::printf("%-24s %-42s %5s %6s %10s %10s %9s %9s  %s\n", "layout", "one unit", "GPUs", "units", "req/s/GPU",
              "req/s all", "TTFT use", "TPOT use", "limit");
  for (std::size_t i = 0; i < layouts.size() && i < rows; ++i) {
    RankedLayout const& layout = layouts[i];
    std::printf("%-24s %-42s %5d %6d %10.3f %10.2f %8.0f%% %8.0f%%  %s\n", kind_name(layout.kind),
                degrees(layout).c_str(), layout.gpus, layout.units, layout.goodput_per_gpu,
                layout.goodput_per_gpu * layout.gpus * layout.units, 100 * layout.ttft_use, 100 * layout.tpot_use,
                layout.limit.c_str());
  }
}

/// The advice: whether to disaggregate, and why.
void print_advice(std::vector<RankedLayout> const& layouts, LayoutProblem const& problem) {
  RankedLayout const *colocated = nullptr, *apart = nullptr;
  for (RankedLayout const& layout : layouts) {
    if (!runs_as_job(layout)) continue;
    RankedLayout const*& best = disaggregates(layout.kind) ? apart : colocated;
    if (best == nullptr) best = &layout;
  }
  if (colocated == nullptr || apart == nullptr) {
    std::printf("\nOnly %s layouts meet the service levels.\n", apart == nullptr ? "colocated" : "disaggregated");
    return;
  }
  double const gain = apart->goodput_per_gpu / colocated->goodput_per_gpu;
  constexpr double worth = 1.05;  // below that, one kind of instance is simpler to run
  if (gain > worth)
    std::printf(
        "\nDisaggregate: %.2f times the requests per GPU. Prompts delay the steps of running answers on colocated\n"
        "instances (%s breaks first, at %.3f requests/s per GPU); apart, each phase has its own degree.\n",
        gain, colocated->limit.c_str(), colocated->goodput_per_gpu);
  else
    std::printf(
        "\nDo not disaggregate: it gives %.2f times the requests per GPU. Its %s breaks first (at %.3f requests/s per\n"
        "GPU): what one phase does not need, the other cannot use.\n",
        gain, apart->limit.c_str(), apart->goodput_per_gpu);
  RankedLayout const& first = layouts.front();
  if (!runs_as_job(first))
    std::printf(
        "An elastic group would serve %.2f times the best of these; jobs have no elastic role: simulated only.\n",
        first.goodput_per_gpu / std::max(colocated->goodput_per_gpu, apart->goodput_per_gpu));
  std::printf("Levels: TTFT %g ms, TPOT %g ms for %g %% of requests; a unit is what repeats over the %d GPUs.\n",
              problem.level.ttft_ms, problem.level.tpot_ms, 100 * problem.target,
              problem.nodes * problem.gpus_per_node);
}

/// Instances of a job have no pipeline stages: `windlass batch` refuses pp.
bool has_stages(RankedLayout const& layout) {
  return std::max(layout.prefill.pp, layout.decode.pp) * layout.pp_cross > 1;
}

void print_job(std::vector<RankedLayout> const& layouts, LayoutProblem const& problem) {
  auto const job = std::find_if(layouts.begin(), layouts.end(),
                                [](RankedLayout const& layout) { return runs_as_job(layout) && !has_stages(layout); });
  if (job == layouts.end()) {
    std::printf("\nNone of them runs as a job: windlass batch has no pipeline stages (pp) and no elastic role.\n");
    return;
  }
  std::printf(
      "\nNumber %d as a job, the first without pipeline stages (windlass batch has none;\n"
      "--max-num-batched-tokens cuts prompts into chunks):\n",
      int(job - layouts.begin()) + 1);
  std::printf("  sbatch --nodes=%d --ntasks-per-node=%d --wrap \\\n", problem.nodes, problem.gpus_per_node);
  std::printf("    'srun windlass batch --model MODEL --input in.jsonl --output out.jsonl --layout %s'\n",
              layout_words(*job, problem).c_str());
}

/// Several models: whether they should share GPUs.
int plan_meshes(std::string const& path) {
  auto const problem = read_mesh_problem(path);
  auto const layouts = search_meshes(problem);
  if (layouts.front().goodput_per_s <= 0) {
    std::printf("No layout meets the service levels at any rate: relax them, or take more GPUs.\n");
    return exit_failed;
  }
  std::fputs(mesh_table(problem, layouts).c_str(), stdout);
  return exit_done;
}

po::options_description plan_options() {
  po::options_description options(
      "windlass plan PROBLEM.json: which layout of instances serves the most requests within the service levels.\n"
      "Simulates every layout with a model of the device (roofline); inputs/README.md documents the file",
      118, 80);
  options.add_options()("problem", po::value<std::string>(), "JSON; comments are allowed");
  options.add_options()("rows", po::value<int>()->default_value(10), "layouts to print");
  options.add_options()("help", "print this");
  return options;
}

}  // namespace

int plan_command(std::vector<std::string> const& words) {
  auto const options = plan_options();
  auto const values = parse_words(words, options, "problem");
  if (values.count("help")) {
    std::cout << options;
    return exit_done;
  }
  if (!values.count("problem"))
    throw InputError("name a problem: windlass plan inputs/scenarios/plan_llama70b.json (--help lists the options)");
  int const rows = values["rows"].as<int>();
  if (rows < 1) throw InputError(text("--rows ", rows, " is too small; use 1 or more"));
  std::string const path = values["problem"].as<std::string>();
  if (names_several_models(path)) return plan_meshes(path);
  auto const problem = read_problem(path);
  auto const layouts = search_layouts(problem);
  if (layouts.empty()) {
    std::printf(
        "No layout meets the service levels at any rate: relax them, or take faster devices or a smaller model.\n");
    return exit_failed;
  }
  print_table(layouts, std::size_t(rows));
  print_advice(layouts, problem);
  print_job(layouts, problem);
  return exit_done;
}

}  // namespace windlass
