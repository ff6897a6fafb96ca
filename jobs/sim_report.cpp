#include "jobs/sim_report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <type_traits>

#include "src/core/text.hpp"

namespace windlass {
namespace {

Distribution distribution(std::vector<double> const& values) {
  return {mean(values), percentile(values, 0.5), percentile(values, 0.9), percentile(values, 0.99)};
}

RunFigures figures_of(ServiceGoal const& goal, std::vector<RequestOutcome> const& outcomes) {
  RunFigures run{.rate_per_s = 0,
                 .requests = std::int64_t(outcomes.size()),
                 .completed = count_of(outcomes, RequestEnd::completed),
                 .rejected_at_arrival = count_of(outcomes, RequestEnd::rejected_at_arrival),
                 .rejected_after_prefill = count_of(outcomes, RequestEnd::rejected_after_prefill),
                 .failed = count_of(outcomes, RequestEnd::failed),
                 .met_goal = meets(goal, outcomes),
                 .attainment = attainment(outcomes, goal.level),
                 .met_per_s = 0,
                 .completed_per_s = 0,
                 .output_tokens_per_s = 0,
                 .makespan_s = 0,
                 .ttft_ms = distribution(ttfts_ms(outcomes)),
                 .tpot_ms = distribution(tpots_ms(outcomes)),
                 .e2e_ms = distribution(e2es_ms(outcomes)),
                 .normalised_ms = distribution(normalised_ms(outcomes)),
                 .details = {}};
  Microseconds last_arrival_us = 1, end_us = 1;
  double tokens = 0;
  for (RequestOutcome const& outcome : outcomes) {
    last_arrival_us = std::max(last_arrival_us, outcome.arrival_us);
    if (outcome.end != RequestEnd::completed) continue;
    end_us = std::max(end_us, outcome.finish_us);
    tokens += outcome.lengths.output_tokens;
  }
  run.rate_per_s = double(run.requests) / (double(last_arrival_us) / 1e6);
  run.met_per_s = run.attainment * double(run.requests) / (double(end_us) / 1e6);
  run.completed_per_s = double(run.completed) / (double(end_us) / 1e6);
  run.output_tokens_per_s = tokens / (double(end_us) / 1e6);
  run.makespan_s = double(end_us) / 1e6;
  return run;
}

RunFigures figures_of(ServiceGoal const& goal, PipelineCluster const& cluster, PipelineReport const& report) {
  auto figures = figures_of(goal, report.outcomes);
  double busy[3] = {}, count[3] = {}, steps = 0;
  for (std::size_t i = 0; i < report.use.size(); ++i) {
    auto const role = std::size_t(cluster.instances[i].role);
    busy[role] += double(report.use[i].busy_us) / double(std::max<Microseconds>(1, report.end_us));
    count[role] += 1;
    steps += double(report.use[i].steps);
  }
  std::int64_t peak = 0;
  for (InstanceUse const& use : report.use) peak = std::max(peak, use.peak_kv_tokens);
  char const* const names[] = {"prefill_busy", "decode_busy", "mixed_busy"};
  for (std::size_t role = 0; role < 3; ++role)
    if (count[role] > 0) figures.details.emplace_back(names[role], busy[role] / count[role]);
  figures.details.emplace_back("steps", steps);
  figures.details.emplace_back("peak_kv_tokens", double(peak));
  figures.details.emplace_back("transferred_tokens", double(report.transferred_tokens));
  if (!cluster.failures.empty()) {
    figures.details.emplace_back("failures", double(report.failures));
    figures.details.emplace_back("restarts", double(report.restarts));
    figures.details.emplace_back("failed_requests", double(figures.failed));
  }
  if (cluster.roles) figures.details.emplace_back("role_changes", double(report.role_changes));
  return figures;
}

RunFigures run(ServiceGoal const& goal, PipelineCluster const& cluster, Workload const& workload) {
  return figures_of(goal, cluster, simulate(cluster, workload));
}

RunFigures run(ServiceGoal const& goal, SharedPrefixCluster const& shared, Workload const& workload) {
  auto figures = figures_of(goal, shared.cluster, simulate(shared, workload));
  figures.details.emplace_back("shared_tokens", double(shared.kept_tokens()));
  return figures;
}

RunFigures run(ServiceGoal const& goal, MachineCluster const& cluster, Workload const& workload) {
  auto const report = simulate(cluster, workload);
  auto figures = figures_of(goal, report.outcomes);
  figures.details = {{"borrowed_machines", double(report.borrowed)},
                     {"peak_mixed_machines", double(report.peak_mixed)},
                     {"preemptions", double(report.preemptions)},
                     {"transferred_tokens", double(report.transferred_tokens)}};
  return figures;
}

RunFigures run(ServiceGoal const& goal, CacheCluster const& cluster, Workload const& workload) {
  auto const report = simulate(cluster, workload);
  auto figures = figures_of(goal, report.outcomes);
  double const blocks = double(std::max<std::int64_t>(1, report.prompt_blocks));
  figures.details = {{"hit_share", double(report.hit_blocks) / blocks},
                     {"fetched_tokens", double(report.fetched_tokens)},
                     {"replicated_tokens", double(report.replicated_tokens)},
                     {"handoff_tokens", double(report.handoff_tokens)},
                     {"wasted_prefill_s", double(report.wasted_prefill_us) / 1e6}};
  if (figures.rejected_at_arrival + figures.rejected_after_prefill > 0) {
    figures.details.emplace_back("rejected_for_prefill_load", double(report.rejected_for_prefill));
    figures.details.emplace_back("rejected_for_decode_load", double(report.rejected_for_decode));
    figures.details.emplace_back("rejected_after_prefill", double(figures.rejected_after_prefill));
  }
  for (std::size_t tier = 1; tier < report.tier_hit_blocks.size(); ++tier)
    figures.details.emplace_back(text("tier_", tier, "_hit_share"), double(report.tier_hit_blocks[tier]) / blocks);
  return figures;
}

RunFigures run(ServiceGoal const& goal, ElasticCluster const& cluster, Workload const& workload) {
  auto const report = simulate(cluster, workload);
  auto run = figures_of(goal, report.outcomes);
  double const batches = double(std::max<std::int64_t>(1, report.prefill_batches));
  run.details = {{"prefill_batches", double(report.prefill_batches)},
                 {"mean_prefill_degree", double(report.prefill_instances) / batches},
                 {"scale_ups", double(report.scale_ups)},
                 {"migrations", double(report.migrations)},
                 {"migrated_tokens", double(report.migrated_tokens)},
                 {"pauses", double(report.pauses)},
                 {"recomputed", double(report.recomputed)}};
  return run;
}

RunFigures run(ServiceGoal const& goal, MeshCluster const& cluster, Workload const& workload) {
  auto const report = simulate(cluster, workload);
  auto run = figures_of(goal, report.outcomes);
  double busy = 0, gpus = 0, preemptions = 0;
  for (std::size_t i = 0; i < cluster.meshes.size(); ++i) {
    busy += double(report.busy_us[i]) * cluster.meshes[i].gpus;
    gpus += cluster.meshes[i].gpus;
  }
  for (MeshModelUse const& use : report.models) preemptions += double(use.preemptions);
  run.details = {{"throughput_per_s", throughput_of(report)},
                 {"weighted_throughput_per_s", weighted_throughput_of(report)},
                 {"meshes", double(cluster.meshes.size())},
                 {"busy", busy / gpus / double(std::max<Microseconds>(1, report.end_us))},
                 {"preemptions", preemptions}};
  return run;
}

boost::json::object as_json(Distribution const& d) {
  return {{"mean", d.mean}, {"p50", d.p50}, {"p90", d.p90}, {"p99", d.p99}};
}

boost::json::object as_json(RunFigures const& run) {
  boost::json::object details;
  for (auto const& [name, value] : run.details) details[name] = value;
  return {{"rate_per_s", run.rate_per_s},
          {"requests", run.requests},
          {"completed", run.completed},
          {"rejected_at_arrival", run.rejected_at_arrival},
          {"rejected_after_prefill", run.rejected_after_prefill},
          {"failed", run.failed},
          {"met_goal", run.met_goal},
          {"attainment", run.attainment},
          {"met_per_s", run.met_per_s},
          {"completed_per_s", run.completed_per_s},
          {"output_tokens_per_s", run.output_tokens_per_s},
          {"makespan_s", run.makespan_s},
          {"ttft_ms", as_json(run.ttft_ms)},
          {"tpot_ms", as_json(run.tpot_ms)},
          {"e2e_ms", as_json(run.e2e_ms)},
          {"normalised_ms", as_json(run.normalised_ms)},
          {"details", std::move(details)}};
}

boost::json::object as_json(ClusterFigures const& cluster) {
  boost::json::array runs;
  for (RunFigures const& run : cluster.runs) runs.push_back(as_json(run));
  return {{"name", cluster.name},
          {"devices", cluster.devices},
          {"goodput_per_s", cluster.goodput_per_s},
          {"goodput_per_s_per_device", cluster.goodput_per_s / cluster.devices},
          {"least_goodput_per_s", cluster.least_goodput_per_s},
          {"most_goodput_per_s", cluster.most_goodput_per_s},
          {"runs", std::move(runs)}};
}

template <class Cluster>
void with_log(Cluster& cluster, SpanLog& log) {
  if constexpr (std::is_same_v<Cluster, SharedPrefixCluster>)
    cluster.cluster.spans = &log;
  else
    cluster.spans = &log;
}

/// Utilisation, and power and cost where the file gives them, over the time to the end of the run.
void add_use(RunFigures& figures, ScenarioCluster const& cluster, StepTotals const& totals) {
  double const seconds = std::max(1e-6, figures.makespan_s), device_us = cluster.devices * seconds * 1e6;
  auto const add = [&](char const* name, double value) { figures.details.emplace_back(name, value); };
  add("prefill_utilisation", totals.prefill_us / device_us);
  add("decode_utilisation", totals.decode_us / device_us);
  double const tokens = std::max(1.0, figures.output_tokens_per_s * seconds);
  if (cluster.power) {
    DevicePower const& power = *cluster.power;
    double const joules = power.idle_w * cluster.devices * seconds +
                          (power.prefill_w - power.idle_w) * totals.prefill_us / 1e6 +
                          (power.decode_w - power.idle_w) * totals.decode_us / 1e6;
    add("mean_power_w", joules / seconds);
    add("joules_per_output_token", joules / tokens);
  }
  if (cluster.cost_per_hour > 0)
    add("cost_per_million_output_tokens", cluster.cost_per_hour * cluster.devices * seconds / 3600 / tokens * 1e6);
}

template <class... Values>
std::string formatted(char const* format, Values... values) {
  char line[256];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::string row(RunFigures const& run) {
  return formatted("%9.2f  %6.1f %9.0f %7.0f %7.0f %9.1f %7.1f %7.1f %9lld %9.2f %9.0f\n", run.rate_per_s,
                   100 * run.attainment, run.ttft_ms.p50, run.ttft_ms.p90, run.ttft_ms.p99, run.tpot_ms.p50,
                   run.tpot_ms.p90, run.tpot_ms.p99,
                   static_cast<long long>(run.rejected_at_arrival + run.rejected_after_prefill), run.completed_per_s,
                   run.output_tokens_per_s);
}

std::vector<std::pair<std::string, double>> shown_details(ServiceGoal const& goal, RunFigures const& run) {
  auto details = run.details;
  if (goal.normalised_ms > 0) {
    details.emplace_back("normalised_mean_ms", run.normalised_ms.mean);
    details.emplace_back("normalised_p90_ms", run.normalised_ms.p90);
  }
  return details;
}

/// Goodput of each cluster beside that of the last.
std::string goodput_table(std::vector<ClusterFigures> const& clusters) {
  std::string table =
      formatted("\n%-34s %8s %12s %12s %9s\n", "goodput", "devices", "requests/s", "per device", "ratio");
  double const base = clusters.back().goodput_per_s / clusters.back().devices;
  for (ClusterFigures const& cluster : clusters) {
    double const per_device = cluster.goodput_per_s / cluster.devices;
    table += formatted("%-34s %8d %12.2f %12.3f %8.2fx\n", cluster.name.c_str(), cluster.devices, cluster.goodput_per_s,
                       per_device, base > 0 ? per_device / base : 0.0);
    if (cluster.most_goodput_per_s > cluster.least_goodput_per_s)
      table += formatted("%34s %8s %12.2f to %.2f over the seeds\n", "", "", cluster.least_goodput_per_s,
                         cluster.most_goodput_per_s);
  }
  return table;
}

}  // namespace

RunFigures run_cluster(Scenario const& scenario, ScenarioCluster const& cluster, double rate_per_s) {
  return run_cluster(scenario, cluster, scenario.workload(rate_per_s));
}

RunFigures run_cluster(Scenario const& scenario, ScenarioCluster const& cluster, Workload const& workload) {
  SpanLog log;
  return run_cluster(scenario, cluster, workload, log);
}

RunFigures run_cluster(Scenario const& scenario, ScenarioCluster const& cluster, Workload const& workload,
                       SpanLog& log) {
  SimCluster logged = cluster.cluster;
  std::visit([&](auto& kind) { with_log(kind, log); }, logged);
  auto figures = std::visit([&](auto const& kind) { return run(scenario.goal, kind, workload); }, logged);
  add_use(figures, cluster, log.totals());
  return figures;
}

double goodput_of(std::vector<RunFigures> const& runs) {
  double goodput = 0;
  for (RunFigures const& run : runs) {
    if (!run.met_goal) break;
    goodput = run.rate_per_s;
  }
  return goodput;
}

std::string report_json(Scenario const& scenario, std::vector<ClusterFigures> const& clusters) {
  boost::json::array all;
  for (ClusterFigures const& cluster : clusters) all.push_back(as_json(cluster));
  boost::json::object const report{{"scenario", scenario.name},
                                   {"file", scenario.path},
                                   {"ttft_limit_ms", scenario.goal.level.ttft_ms},
                                   {"tpot_limit_ms", scenario.goal.level.tpot_ms},
                                   {"target", scenario.goal.share},
                                   {"clusters", std::move(all)}};
  return boost::json::serialize(report) + "\n";
}

std::string report_csv(std::vector<ClusterFigures> const& clusters) {
  std::string csv =
      "cluster,devices,rate_per_s,requests,completed,rejected_at_arrival,rejected_after_prefill,failed,attainment,met_"
      "per_s,"
      "output_tokens_per_s,ttft_mean_ms,ttft_p50_ms,ttft_p90_ms,ttft_p99_ms,tpot_mean_ms,tpot_p50_ms,tpot_p90_ms,"
      "tpot_p99_ms,e2e_mean_ms,e2e_p50_ms,e2e_p90_ms,e2e_p99_ms\n";
  for (ClusterFigures const& cluster : clusters)
    for (RunFigures const& run : cluster.runs) {
      csv += text('"', cluster.name, "\",", cluster.devices, ',', run.rate_per_s, ',', run.requests, ',', run.completed,
                  ',', run.rejected_at_arrival, ',', run.rejected_after_prefill, ',', run.failed, ',', run.attainment,
                  ',', run.met_per_s, ',', run.output_tokens_per_s);
      for (Distribution const& d : {run.ttft_ms, run.tpot_ms, run.e2e_ms})
        csv += text(',', d.mean, ',', d.p50, ',', d.p90, ',', d.p99);
      csv += '\n';
    }
  return csv;
}

std::string report_table(Scenario const& scenario, std::vector<ClusterFigures> const& clusters) {
  ServiceGoal const& goal = scenario.goal;
  std::string table = scenario.name + "\n";
  if (goal.unloaded_table != nullptr)
    table += "goal: Splitwise's nine slowdowns (TTFT 2, 3, 6; TBT and E2E 1.25, 1.5, 5 at P50, P90, P99)\n";
  else if (goal.normalised_ms > 0)
    table += formatted("goal: %g ms of mean latency for each prompt and output token\n", goal.normalised_ms);
  else
    table += formatted("goal: TTFT %g ms and TPOT %g ms for %g %% of requests\n", goal.level.ttft_ms,
                       goal.level.tpot_ms, 100 * goal.share);
  for (ClusterFigures const& cluster : clusters) {
    table += formatted("\n%s (%d devices)\n", cluster.name.c_str(), cluster.devices) +
             "   rate/s   met %  TTFT p50     p90     p99  TPOT p50     p90     p99  rejected    done/s  tokens/s\n";
    for (RunFigures const& run : cluster.runs) table += row(run);
    if (cluster.runs.size() == 1)
      for (auto const& [name, value] : shown_details(scenario.goal, cluster.runs[0]))
        table += formatted("%26s  %.6g\n", name.c_str(), value);
  }
  bool const compared = scenario.search || clusters.front().runs.size() > 1;
  return compared ? table + goodput_table(clusters) : table;
}

}  // namespace windlass
