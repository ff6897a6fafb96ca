// windlass simulate: what clusters would serve, on a virtual clock.
#include <boost/program_options/value_semantic.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/plan_record.hpp"
#include "jobs/sim_study.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

po::options_description simulate_options() {
  po::options_description options(
      "windlass simulate SCENARIO.json: what the scenario's clusters would serve, on a virtual clock.\n"
      "Without --rate or --sweep the file decides: the highest rate that meets the goal where it has \"search\", else\n"
      "one run at its rate. inputs/README.md documents the file; the same file gives the same bytes",
      118, 80);
  options.add_options()("scenario", po::value<std::string>(), "JSON; comments are allowed");
  options.add_options()("rate", po::value<double>(), "requests/s instead of the file's; one run");
  options.add_options()("sweep", po::value<std::string>(), "rate=FIRST:LAST:STEP; one run for each rate");
  options.add_options()("jobs", po::value<int>()->default_value(0), "runs at the same time; 0: one for each core");
  options.add_options()("output", po::value<std::string>(), "folder for report.json, report.csv and attainment.svg");
  options.add_options()("trace", po::value<std::string>(),
                        "FROM:TO seconds of virtual time; one run, whose steps go to trace_1.json … of --output, for "
                        "ui.perfetto.dev");
  options.add_options()("replay", po::value<std::string>(),
                        "no scenario: a file that windlass batch --record wrote; asks the policies again and tells the "
                        "first difference");
  options.add_options()("help", "print this");
  return options;
}

void write_file(std::filesystem::path const& path, std::string const& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  if (!file) throw FileError(path.string(), "write", errno);
}

/// Before a run that may take long.
void make_folder(std::filesystem::path const& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw FileError(folder.string(), "create", error.value());
}

void write_reports(std::filesystem::path const& folder, Scenario const& scenario,
                   std::vector<ClusterFigures> const& clusters) {
  write_file(folder / "report.json", report_json(scenario, clusters));
  write_file(folder / "report.csv", report_csv(clusters));
  write_file(folder / "attainment.svg", attainment_svg(scenario, clusters));
}

std::vector<ClusterFigures> study(Scenario const& scenario, po::variables_map const& values) {
  int const given = values["jobs"].as<int>();
  if (given < 0) throw InputError(text("--jobs ", given, " is too small; use 0 (one for each core) or more"));
  int const jobs = given > 0 ? given : int(std::max(1u, std::thread::hardware_concurrency()));
  if (values.count("sweep")) return sweep_rates(scenario, parse_sweep(values["sweep"].as<std::string>()), jobs);
  if (values.count("rate")) {
    double const rate = values["rate"].as<double>();
    if (!(rate > 0)) throw InputError(text("--rate ", rate, " is too small; use a rate above 0"));
    return sweep_rates(scenario, {rate}, jobs);
  }
  return scenario.search ? search_goodputs(scenario, jobs) : sweep_rates(scenario, {scenario.rate_per_s}, jobs);
}

SimWindow parse_window(std::string const& words) {
  double from = 0, to = 0;
  int read = 0;
  bool const parsed =
      std::sscanf(words.c_str(), "%lf:%lf%n", &from, &to, &read) == 2 && std::size_t(read) == words.size();
  if (!parsed || !(from >= 0 && to > from && to < 1e9))
    throw InputError("--trace " + words + ": not FROM:TO in seconds with 0 <= FROM < TO; for example 60:70");
  return {.from_us = Microseconds(from * 1e6), .to_us = Microseconds(to * 1e6)};
}

/// One run of every cluster, with its steps in a file.
std::vector<ClusterFigures> trace(Scenario const& scenario, po::variables_map const& values) {
  if (!values.count("output")) throw InputError("--trace needs --output, the folder for trace_1.json");
  auto const window = parse_window(values["trace"].as<std::string>());
  std::filesystem::path const folder = values["output"].as<std::string>();
  double const rate = values.count("rate") ? values["rate"].as<double>() : scenario.rate_per_s;
  std::vector<ClusterFigures> clusters;
  for (ScenarioCluster const& cluster : scenario.clusters) {
    SpanLog log(window);
    auto figures = run_cluster(scenario, cluster, scenario.workload(rate), log);
    std::string const name = "trace_" + std::to_string(clusters.size() + 1) + ".json";
    write_file(folder / name, trace_json(cluster.name, log));
    std::cout << log.spans().size() << " steps of " << cluster.name << " in " << (folder / name).string() << "\n";
    clusters.push_back({.name = cluster.name, .devices = cluster.devices, .goodput_per_s = 0, .runs = {}});
    clusters.back().runs.push_back(std::move(figures));
  }
  return clusters;
}

int replay(std::string const& path) {
  auto const report = replay_plans(path);
  for (auto const& [policy, count] : report.plans) std::cout << policy << ": " << count << " plans\n";
  if (!report.first_difference) {
    std::cout << "all plans are the same\n";
    return exit_done;
  }
  auto const& difference = *report.first_difference;
  std::cout << path << ":" << difference.line << ": " << difference.policy
            << " plans otherwise now\n  recorded: " << difference.recorded << "\n  replayed: " << difference.replayed
            << "\n";
  return exit_failed;
}

}  // namespace

int simulate_command(std::vector<std::string> const& words) {
  auto const options = simulate_options();
  auto const values = parse_words(words, options, "scenario");
  if (values.count("help")) {
    std::cout << options;
    return exit_done;
  }
  if (values.count("replay")) return replay(values["replay"].as<std::string>());
  if (!values.count("scenario"))
    throw InputError("name a scenario: windlass simulate inputs/scenarios/distserve.json (--help lists the options)");
  if (values.count("trace") && values.count("sweep")) throw InputError("give --trace or --sweep, not both");
  if (values.count("rate") && values.count("sweep")) throw InputError("give --rate or --sweep, not both");
  Scenario const scenario = read_scenario(values["scenario"].as<std::string>());
  if (values.count("output")) make_folder(values["output"].as<std::string>());
  auto const clusters = values.count("trace") ? trace(scenario, values) : study(scenario, values);
  std::cout << report_table(scenario, clusters);
  if (!values.count("output")) return exit_done;
  std::string const folder = values["output"].as<std::string>();
  write_reports(folder, scenario, clusters);
  std::cout << "written to " << folder << ": report.json, report.csv, attainment.svg\n";
  return exit_done;
}

}  // namespace windlass
