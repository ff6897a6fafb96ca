/// The figures of simulated runs, and the files they are written to.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "jobs/scenario.hpp"
#include "src/sim/span_log.hpp"

namespace windlass {

struct Distribution {
  double mean, p50, p90, p99;
};

struct RunFigures {
  double rate_per_s;  ///< offered: requests over the time in which they came
  std::int64_t requests, completed, rejected_at_arrival, rejected_after_prefill, failed;
  bool met_goal;
  double attainment;  ///< share of all requests that met both limits
  double met_per_s;   ///< requests that met both limits, over the time to the end
  double completed_per_s;
  double output_tokens_per_s;
  double makespan_s;  ///< from the first arrival to the last token
  Distribution ttft_ms, tpot_ms, e2e_ms;
  Distribution normalised_ms;                           ///< E2E over prompt and output tokens
  std::vector<std::pair<std::string, double>> details;  ///< what this kind of cluster also counts
};

/// What a study of one cluster found.
struct ClusterFigures {
  std::string name;
  int devices;
  double goodput_per_s;                                    ///< highest rate that met the goal; 0 where none did
  std::vector<RunFigures> runs;                            ///< ascending rates
  double least_goodput_per_s = 0, most_goodput_per_s = 0;  ///< over the seeds of a search
};

/// Simulates the cluster under the workload. Local, deterministic.
RunFigures run_cluster(Scenario const& scenario, ScenarioCluster const& cluster, Workload const& workload);

/// The same; `log` gets the steps.
RunFigures run_cluster(Scenario const& scenario, ScenarioCluster const& cluster, Workload const& workload,
                       SpanLog& log);

/// Simulates the cluster at one rate; 0 keeps a trace's own. Local, deterministic.
RunFigures run_cluster(Scenario const& scenario, ScenarioCluster const& cluster, double rate_per_s);

/// The highest rate, from the lowest on, up to which every run met the goal; 0 where the first did not.
double goodput_of(std::vector<RunFigures> const& runs);

std::string report_json(Scenario const& scenario, std::vector<ClusterFigures> const& clusters);
std::string report_csv(std::vector<ClusterFigures> const& clusters);
std::string report_table(Scenario const& scenario, std::vector<ClusterFigures> const& clusters);

/// The steps of the log's window, one process for each instance, as Perfetto and chrome://tracing read them.
std::string trace_json(std::string const& cluster, SpanLog const& log);

/// Attainment over rate as an SVG picture, one line for each cluster; one point is drawn as a mark.
std::string attainment_svg(Scenario const& scenario, std::vector<ClusterFigures> const& clusters);

}  // namespace windlass
