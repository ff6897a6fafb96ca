// The program `windlass`: finds the subcommand and turns exceptions into messages and exit codes.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#ifdef WINDLASS_SERVE
#include "jobs/command_guard.hpp"
#endif
#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/told_error.hpp"
#include "jobs/version.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr char const* usage =
    "windlass serves large language models as an MPI job.\n"
    "\n"
    "  windlass batch --model M --input in.jsonl --output out.jsonl    answers a file of OpenAI batch requests\n"
    "  windlass launch -n 3 batch ...                                  the same as an MPI job of three ranks\n"
    "  windlass serve --model M                                        answers OpenAI's API over HTTP\n"
    "  windlass chat [--model M]                                       talks with a running server, or with a model\n"
    "  windlass bench-serve --request-rate 4                           measures a running server under load\n"
    "  windlass submit [--time 60] batch ...                          has Slurm run a batch until it is done\n"
    "  windlass inspect MODEL                                          says what a model file holds and needs\n"
    "  windlass inspect CHECKPOINT                                     says what a checkpoint folder holds\n"
    "  windlass inspect topology [--layout L]                          says what the ranks' hosts have, and who does "
    "what\n"
    "  windlass simulate SCENARIO.json [--sweep rate=1:40:0.5]         what a cluster would serve, on a virtual clock\n"
    "  windlass bench --model M --profile out.json                     times this machine's steps, for simulations\n"
    "  windlass plan PROBLEM.json                                      which layout of instances serves the most\n"
    "\n"
    "  windlass SUBCOMMAND --help    its options\n"
    "  windlass --version            version and commit\n";

/// The server and its clients.
int run_serve(std::string const& name, [[maybe_unused]] std::vector<std::string> const& words) {
#ifdef WINDLASS_SERVE
  if (name == "chat") return chat_command(words);
  if (name == "guard-command") return guard_command(words);
  return name == "serve" ? serve_command(words) : bench_serve_command(words);
#else
  log_warning(text("this program was built without ", name, "; build it with -DWINDLASS_SERVE=ON (needs OpenSSL)"));
  return exit_usage;
#endif
}

int run(std::vector<std::string> const& words) {
  std::string const first = words.empty() ? "" : words.front();
  if (first == "--help" || first == "-h" || first == "help") {
    std::fputs(usage, stdout);
    return exit_done;
  }
  if (first == "--version") {
    std::printf("windlass %s (%s)\n", program_version(), program_commit());
    return exit_done;
  }
  std::vector<std::string> const rest(words.begin() + (words.empty() ? 0 : 1), words.end());
  if (first == "batch") return batch_command(rest);
  if (first == "launch") return launch_command(rest);
  if (first == "serve" || first == "chat" || first == "bench-serve" || first == "guard-command")
    return run_serve(first, rest);
  if (first == "inspect") return inspect_command(rest);
  if (first == "bench") return bench_command(rest);
  if (first == "submit") return submit_command(rest);
  if (first == "plan") return plan_command(rest);
  if (first == "simulate") return simulate_command(rest);
  if (first.empty())
    std::fputs(usage, stderr);
  else
    log_warning(text("'", first,
                     "' is no subcommand; there are batch, launch, serve, chat, bench-serve, submit, inspect, plan, "
                     "bench and simulate (windlass --help)"));
  return exit_usage;
}

}  // namespace
}  // namespace windlass

int main(int argc, char** argv) {
  using namespace windlass;
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe, or a dead MPI peer, is an error of that write
  std::signal(SIGXFSZ, SIG_IGN);  // so is a file-size limit
  try {
    return run({argv + 1, argv + argc});
  } catch (ToldError const& error) {
    return error.exit_code();
  } catch (std::exception const& error) {
    return tell(error);
  }
}
