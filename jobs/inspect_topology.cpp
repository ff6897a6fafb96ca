// windlass inspect topology: hosts, cores and devices of every rank, and what a layout would make of them.
#include <boost/program_options/value_semantic.hpp>
#include <iostream>

#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/layout_table.hpp"
#include "jobs/option_parsing.hpp"
#include "mpi/job.hpp"
#include "src/core/error.hpp"

namespace windlass {

int inspect_topology_command(std::vector<std::string> const& words) {
  namespace po = boost::program_options;
  po::options_description options(
      "windlass inspect topology: the hosts of this process, or under mpirun or srun of all ranks, and the instances\n"
      "that a layout makes of them",
      118, 80);
  options.add_options()("layout", po::value<std::string>()->default_value("auto"),
                        "auto, or roles such as prefill=2xtp2,decode=1xtp4pp2,spare=1, mixed=3; controller=dedicated");
  options.add_options()("for", po::value<std::string>()->default_value("batch"),
                        "what auto plans for: batch (throughput) or serve (latency)");
  options.add_options()("help", "print this");
  po::variables_map const values = parse_words(words, options, "");
  if (values.count("help")) {
    std::cout << options;
    return exit_done;
  }
  std::string const purpose = values["for"].as<std::string>();
  if (purpose != "batch" && purpose != "serve") throw InputError("--for must be batch or serve");
  Layout const layout = parse_layout(values["layout"].as<std::string>());
  MpiJob const job(detect_launcher(process_environment()));
  JobMap const map = gather_job_map(job, read_host_map());
  if (job.place().world_rank != 0) return exit_done;
  std::cout << to_text(map) << std::flush;
  LayoutNeeds const needs{.objective = purpose == "serve" ? Objective::latency : Objective::throughput};
  std::cout << to_text(plan_job_layout(layout, map, needs), map) << std::flush;
  return exit_done;
}

}  // namespace windlass
