// windlass plan: which layout of instances serves the most.
#include <boost/program_options/value_semantic.hpp>
#include <cstdio>
#include <iostream>

#include "jobs/commands.hpp"
#include "jobs/engine_options.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/layout_report.hpp"
#include "jobs/mesh_search.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/plan_machine.hpp"
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
      "windlass plan --model MODEL: the same for a model file on this machine, both looked at.\n"
      "Simulates every layout with a model of the device (roofline) or measured steps; inputs/README.md documents the "
      "file",
      118, 80);
  options.add_options()("problem", po::value<std::string>(), "JSON; comments are allowed");
  options.add_options()("rows", po::value<int>()->default_value(10), "layouts to print, and the best of each kind");
  options.add_options()("model", po::value<std::string>(),
                        "a GGUF file or a Hugging Face folder: plan for this machine");
  options.add_options()("profile", po::value<std::string>()->default_value(""),
                        "with --model: steps that windlass bench --profile measured here (one rank with all cores)");
  options.add_options()("nodes", po::value<int>()->default_value(1), "with --model: machines like this one");
  options.add_options()("ranks", po::value<int>()->default_value(0),
                        "with --model: of one machine; 0: one a core, a power of two, 8 at most");
  options.add_options()("link-gb-per-s", po::value<double>()->default_value(1), "with --model: between machines");
  options.add_options()("prompt-tokens", po::value<int>()->default_value(512), "with --model: of a request");
  options.add_options()("output-tokens", po::value<int>()->default_value(128), "with --model: of an answer");
  options.add_options()("ttft-ms", po::value<double>()->default_value(3000),
                        "with --model: time to the first token that 90 % of requests must meet");
  options.add_options()("tpot-ms", po::value<double>()->default_value(100),
                        "with --model: time for each further token");
  options.add_options()("help", "print this");
  return options;
}

double above_zero(po::variables_map const& values, char const* name) {
  double const value = values[name].as<double>();
  if (!(value > 0)) throw InputError(text("--", name, " ", value, " is too small; use a number above 0"));
  return value;
}

int report(LayoutProblem const& problem, std::size_t rows, std::string const& model) {
  auto const layouts = search_layouts(problem);
  if (layouts.empty()) {
    std::printf(
        "No layout meets the service levels at any rate: relax them, or take faster devices or a smaller model.\n");
    return exit_failed;
  }
  std::fputs(layout_report(problem, layouts, rows, model).c_str(), stdout);
  return exit_done;
}

int plan_machine(po::variables_map const& values, std::size_t rows) {
  std::string const model = values["model"].as<std::string>();
  auto const found =
      find_problem({.model_path = model,
                    .profile_path = values["profile"].as<std::string>(),
                    .nodes = at_least(values, "nodes", 1),
                    .ranks = at_least(values, "ranks", 0),
                    .link_gb_per_s = above_zero(values, "link-gb-per-s"),
                    .prompt_tokens = at_least(values, "prompt-tokens", 1),
                    .output_tokens = at_least(values, "output-tokens", 1),
                    .level = {.ttft_ms = above_zero(values, "ttft-ms"), .tpot_ms = above_zero(values, "tpot-ms")}});
  std::fputs(found.words.c_str(), stdout);
  return report(found.problem, rows, model);
}

}  // namespace

int plan_command(std::vector<std::string> const& words) {
  auto const options = plan_options();
  auto const values = parse_words(words, options, "problem");
  if (values.count("help")) {
    std::cout << options;
    return exit_done;
  }
  auto const rows = std::size_t(at_least(values, "rows", 1));
  if (values.count("problem") == values.count("model"))
    throw InputError(
        "name a problem or a model: windlass plan inputs/scenarios/plan_llama70b.json, or windlass plan --model "
        "MODEL for this machine (--help lists the options)");
  if (values.count("model")) return plan_machine(values, rows);
  std::string const path = values["problem"].as<std::string>();
  if (names_several_models(path)) return plan_meshes(path);
  auto const problem = read_problem(path);
  std::printf("%s\n", JsonFields(read_json_with_comments(path)).text_or("name", path).c_str());
  return report(problem, rows, "MODEL");
}

}  // namespace windlass
