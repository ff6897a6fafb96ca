// windlass bench: times of this machine's steps, for the simulator.
#include <boost/program_options/value_semantic.hpp>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/profile_file.hpp"
#include "jobs/step_profiler.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

po::options_description bench_options() {
  po::options_description all(
      "windlass bench --model MODEL --profile out.json: times prefill and decode steps of the engine on this machine, "
      "for\n"
      "simulations (\"steps\": {\"kind\": \"measured\", \"path\": \"out.json\"}). Keep the machine quiet; takes "
      "minutes",
      help_width, help_text_width);
  all.add_options()("model", po::value<std::string>(), "a GGUF file or a Hugging Face folder");
  all.add_options()("profile", po::value<std::string>(), "the file to write");
  all.add_options()("max-context", po::value<int>()->default_value(4096),
                    "longest context that is measured, in tokens");
  all.add_options()("held-tokens", po::value<int>()->default_value(16384), "KV tokens of one measurement, at most");
  all.add_options()("repetitions", po::value<int>()->default_value(5), "steps of each size; the median counts");
  add_model_options(all);
  add_answer_options(all);
  add_machine_options(all);
  all.add_options()("help,h", "print this");
  return all;
}

void write_profile(std::string const& path, MeasuredProfile const& profile) {
  std::ofstream file(path, std::ios::binary);
  file << profile_json(profile);
  file.close();
  if (!file) throw FileError(path, "write", errno);
}

void print_profile(MeasuredProfile const& profile) {
  std::printf("%s on %s; memory %.1f GB/s, float32 %.0f Gflop/s\n", profile.model.c_str(), profile.machine.c_str(),
              profile.read_gb_per_s, profile.gflops);
  for (GridSample const& sample : profile.prefill)
    std::printf("  prompt of %5.0f tokens             %9.2f ms  %8.0f tokens/s\n", sample.tokens, sample.ms,
                sample.tokens / sample.ms * 1000);
  for (GridSample const& sample : profile.decode)
    std::printf("  %3.0f sequences of %5.0f tokens       %9.2f ms  %8.0f tokens/s\n", sample.count, sample.tokens,
                sample.ms, sample.count / sample.ms * 1000);
}

}  // namespace

int bench_command(std::vector<std::string> const& words) {
  auto const options = bench_options();
  auto const values = parse_words(words, options, "");
  if (values.count("help")) {
    std::cout << options;
    return exit_done;
  }
  std::string const path = required(values, "profile");
  require_writable_place("profile", path);
  auto const engine = engine_options(values);
  ProfilePlan plan{.max_context_tokens = at_least(values, "max-context", 64),
                   .held_tokens = at_least(values, "held-tokens", 64),
                   .repetitions = at_least(values, "repetitions", 1)};
  auto const setup = set_up_engine(engine, std::nullopt);
  plan.max_context_tokens = std::min(plan.max_context_tokens, setup->model.max_model_len - 128);
  plan.held_tokens = int(std::min<std::int64_t>(plan.held_tokens, setup->kv_tokens() / 2));
  auto const profile =
      profile_steps(*setup, engine, plan, [](std::string const& next) { log_info("measuring " + next); });
  write_profile(path, profile);
  print_profile(profile);
  std::printf("written to %s\n", path.c_str());
  return exit_done;
}

}  // namespace windlass
