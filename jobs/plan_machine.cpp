#include "jobs/plan_machine.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "jobs/profile_file.hpp"
#include "kernels/peak_rates.hpp"
#include "mpi/memory_limit.hpp"
#include "mpi/topology.hpp"
#include "src/core/bytes_text.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/describe.hpp"

namespace windlass {
namespace {

/// Weights that one token is multiplied by: of a mixture of experts only the chosen ones.
double used_parameters(ModelDescription const& model) {
  double all = 0;
  for (TensorTypeSummary const& type : model.types) all += double(type.weights);
  ModelSpec const& spec = model.spec;
  auto const moe_layers =
      std::count_if(spec.layers.begin(), spec.layers.end(), [](LayerSpec const& layer) { return layer.moe; });
  double const idle_experts = double(moe_layers) * (spec.experts - spec.experts_per_token);
  return all - idle_experts * 3 * double(spec.hidden) * spec.expert_ffn;
}

int ranks_of(MachineProblem const& wanted, int cores) {
  constexpr int most = 8;
  if (wanted.ranks > cores)
    throw InputError(
        text("--ranks ", wanted.ranks, ": this machine gives ", cores,
             " cores to this process (a rank without a core of its own slows the others); use at most that"));
  if (wanted.ranks > 0) return wanted.ranks;
  int ranks = 1;
  while (2 * ranks <= std::min(cores, most)) ranks *= 2;
  return ranks;
}

struct FoundMachine {
  DeviceLimits device;  ///< of one rank
  std::string words;
};

FoundMachine find_machine(MachineProblem const& wanted, CoreSet const& cores, int ranks) {
  auto cpus = cores.cpus;
  cpus.resize(std::size_t(cores.usable_threads()));
  ThreadTeam team({.threads = int(cpus.size()), .cpus = cpus});
  constexpr std::size_t buffer_bytes = std::size_t{256} << 20;
  double const read_gb_per_s = measure_read(LimitBuffer(buffer_bytes, team), team).median;
  auto const limits = measure_arithmetic(team);
  double const gflops = std::max({1.0, best_rate(limits, "fp32"), best_rate(limits, "bf16")});
  auto const memory = double(available_memory_bytes());
  constexpr double copies = 3;  // a byte that moves between ranks is read, written and read again
  constexpr double shared_memory_step_us = 100, shared_memory_collective_us = 20;
  return {.device = {.flops_per_us = gflops * 1e3 / ranks,
                     .bytes_per_us = read_gb_per_s * 1e3 / ranks,
                     .memory_bytes = memory / ranks,
                     .link_bytes_per_us = read_gb_per_s * 1e3 / copies,
                     .node_link_bytes_per_us = wanted.link_gb_per_s * 1e3,
                     .step_us = shared_memory_step_us,
                     .collective_us = shared_memory_collective_us},
          .words = text("machine: ", cores.processor, ", ", cpus.size(), " cores in ", ranks,
                        " ranks; measured: memory ", std::round(read_gb_per_s), " GB/s, arithmetic ",
                        std::round(gflops), " Gflop/s; free memory ", bytes_text(std::uint64_t(memory)), "\n")};
}

}  // namespace

ModelShape shape_of(std::string const& model_path, double kv_bytes_per_value) {
  auto const model = describe({.path = model_path});
  return {.layers = std::int64_t(model.spec.layers.size()),
          .hidden = model.spec.hidden,
          .heads = model.spec.heads,
          .kv_heads = model.spec.kv_heads,
          .head_dim = model.spec.head_dim,
          .parameters = used_parameters(model),
          .weight_bytes = double(model.weight_bytes),
          .kv_bytes_per_value = kv_bytes_per_value};
}

FoundProblem find_problem(MachineProblem const& wanted) {
  CoreSet const cores = find_cores();
  bool const measured = !wanted.profile_path.empty();
  int const ranks = measured ? 1 : ranks_of(wanted, cores.usable_threads());
  constexpr double bf16_bytes = 2;
  ModelShape const shape = shape_of(wanted.model_path, bf16_bytes);
  auto machine = find_machine(wanted, cores, ranks);
  std::string words = text("model:   ", wanted.model_path, ": ", std::round(shape.parameters / 1e6),
                           " million weights a token, ", bytes_text(std::uint64_t(shape.weight_bytes)), "\n") +
                      machine.words;
  TokenLengths const lengths{std::int32_t(wanted.prompt_tokens), std::int32_t(wanted.output_tokens)};
  LayoutProblem problem{
      .model = shape,
      .device = machine.device,
      .nodes = wanted.nodes,
      .gpus_per_node = ranks,
      .workload =
          [lengths](double rate) {
            constexpr std::int64_t requests = 300;
            return make_workload(
                {.requests = requests, .arrivals = {.rate_per_s = rate}, .lengths = fixed_lengths(lengths)});
          },
      .level = wanted.level,
      .target = wanted.target};
  if (measured) {
    problem.measured = read_profile(wanted.profile_path);
    words += text("steps:   ", wanted.profile_path, ", measured on ", problem.measured->machine, "\n");
  }
  words += text("load:    prompts of ", lengths.prompt_tokens, " tokens, answers of ", lengths.output_tokens, "\n");
  return {.problem = std::move(problem), .words = std::move(words)};
}

}  // namespace windlass
