// Speed of the simulator: a large cluster, every iteration of every instance an event, on one core; one JSON line.
//   simulator_bench [--requests 1000000] [--instances 1000] [--rate-per-instance-milli 1500] [--seed 0]
// Lengths are Azure's conversation distribution; instances put prompts first and have vLLM's times of OPT-13B on an
// A100. The requests are made before the clock starts.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "bench/arguments.hpp"
#include "src/core/clock.hpp"
#include "src/sim/distserve.hpp"

namespace windlass::bench {
namespace {

double peak_mib() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return double(use.ru_maxrss) / 1024;
}

void run(Arguments const& arguments) {
  auto const instances = arguments.integer("instances"), requests = arguments.integer("requests");
  double const rate = double(arguments.integer("rate-per-instance-milli")) / 1000 * double(instances);
  auto cluster = *colocated_instance(ProfiledEngine::vllm, ProfiledModel::opt_13b, {1, 1});
  cluster.instances[0].kv_tokens = cluster.instances[0].max_prompt_tokens;
  cluster.instances.assign(std::size_t(instances), cluster.instances[0]);
  cluster.first_token = FirstToken::from_prefill;
  auto const workload = make_workload({.requests = requests,
                                       .arrivals = {.rate_per_s = rate},
                                       .lengths = azure_conversation_lengths(),
                                       .seed = std::uint64_t(arguments.integer("seed"))});
  double load[1] = {0};
  if (getloadavg(load, 1) < 1) load[0] = -1;
  Microseconds const begin_us = now_us();
  auto const report = simulate(cluster, workload);
  double const seconds = double(now_us() - begin_us) / 1e6;
  std::int64_t steps = 0, tokens = 0;
  for (InstanceUse const& use : report.use) steps += use.steps;
  for (RequestOutcome const& outcome : report.outcomes) tokens += outcome.lengths.output_tokens;
  std::printf(
      "{\"operation\": \"simulate\", \"requests\": %lld, \"instances\": %lld, \"seconds\": %.2f, \"steps\": %lld, "
      "\"steps_per_s\": %.0f, \"output_tokens\": %lld, \"simulated_s\": %.1f, \"completed\": %lld, "
      "\"mean_ttft_ms\": %.2f, \"mean_tpot_ms\": %.3f, \"peak_mib\": %.0f, \"load\": %.1f}\n",
      requests, instances, seconds, static_cast<long long>(steps), double(steps) / seconds,
      static_cast<long long>(tokens), double(report.end_us) / 1e6,
      static_cast<long long>(count_of(report.outcomes, RequestEnd::completed)), mean(ttfts_ms(report.outcomes)),
      mean(tpots_ms(report.outcomes)), peak_mib(), load[0]);
}

}  // namespace
}  // namespace windlass::bench

int main(int argc, char** argv) {
  using namespace windlass;
  try {
    bench::run(bench::Arguments(
        argc, argv,
        {{"requests", "1000000"}, {"instances", "1000"}, {"rate-per-instance-milli", "1500"}, {"seed", "0"}}));
    return 0;
  } catch (std::exception const& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
