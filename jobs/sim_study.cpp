#include "jobs/sim_study.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <functional>
#include <mutex>
#include <numeric>
#include <thread>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/policy/goodput.hpp"

namespace windlass {
namespace {

/// Says how far a study is, every few seconds.
class Progress {
 public:
  explicit Progress(std::size_t runs) : runs_(runs), start_us_(now_us()), told_us_(start_us_) {}

  void done() {
    std::lock_guard const lock(mutex_);
    ++done_;
    constexpr Microseconds every_us = 5'000'000;
    Microseconds const now = now_us();
    if (now - told_us_ < every_us || done_ == runs_) return;
    told_us_ = now;
    double const left_s = double(now - start_us_) / double(done_) * double(runs_ - done_) / 1e6;
    log_info(text(done_, " of ", runs_, " runs, about ", int(left_s + 1), " s left"));
  }

 private:
  std::mutex mutex_;
  std::size_t runs_, done_ = 0;
  Microseconds start_us_, told_us_;
};

/// work(0), work(1), … on `jobs` threads. Throws what the first failure threw.
void for_each_index(std::size_t count, int jobs, std::function<void(std::size_t)> const& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  Progress progress(count);
  auto const take = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
        progress.done();
      } catch (...) {
        std::lock_guard const lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        next = count;
        return;
      }
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < std::min(jobs, int(count)); ++i) others.emplace_back(take);
    take();
  }
  if (failure) std::rethrow_exception(failure);
}

std::vector<ClusterFigures> named(Scenario const& scenario) {
  std::vector<ClusterFigures> all;
  for (ScenarioCluster const& cluster : scenario.clusters)
    all.push_back({.name = cluster.name, .devices = cluster.devices, .goodput_per_s = 0, .runs = {}});
  return all;
}

/// The highest rate for each device within the search; 0 where none meets the goal.
double searched_rate(Scenario const& scenario, ScenarioCluster const& cluster, WorkloadSource const& workload) {
  auto const found = plan_goodput(
      {.meets = [&](double rate) { return run_cluster(scenario, cluster, workload(rate * cluster.devices)).met_goal; },
       .low_rate = scenario.search->low,
       .high_rate = scenario.search->high,
       .tolerance = scenario.search->tolerance});
  return found.stop == GoodputStop::nothing_met ? 0 : found.rate;
}

}  // namespace

std::vector<double> parse_sweep(std::string const& sweep) {
  double first = 0, last = 0, step = 0;
  int read = 0;
  bool const parsed = std::sscanf(sweep.c_str(), "rate=%lf:%lf:%lf%n", &first, &last, &step, &read) == 3 &&
                      std::size_t(read) == sweep.size();
  if (!parsed || !(first > 0 && last >= first && step > 0) || (last - first) / step > 1e5)
    throw InputError("--sweep " + sweep +
                     ": not rate=FIRST:LAST:STEP with 0 < FIRST <= LAST and STEP > 0; "
                     "for example rate=1:40:0.5");
  std::vector<double> rates;
  for (int i = 0; first + i * step <= last + step * 1e-9; ++i) rates.push_back(first + i * step);
  return rates;
}

std::vector<ClusterFigures> sweep_rates(Scenario const& scenario, std::vector<double> const& rates, int jobs) {
  auto clusters = named(scenario);
  for (ClusterFigures& cluster : clusters) cluster.runs.resize(rates.size());
  for_each_index(clusters.size() * rates.size(), jobs, [&](std::size_t i) {
    std::size_t const cluster = i / rates.size(), rate = i % rates.size();
    clusters[cluster].runs[rate] = run_cluster(scenario, scenario.clusters[cluster], rates[rate]);
  });
  for (ClusterFigures& cluster : clusters) cluster.goodput_per_s = goodput_of(cluster.runs);
  return clusters;
}

std::vector<ClusterFigures> search_goodputs(Scenario const& scenario, int jobs) {
  auto clusters = named(scenario);
  std::size_t const seeds = 1 + scenario.other_seeds.size();
  std::vector<double> found(clusters.size() * seeds, 0);  // [clusters][seeds] requests/s for each device
  for_each_index(found.size(), jobs, [&](std::size_t i) {
    std::size_t const seed = i % seeds;
    auto const& workload = seed == 0 ? scenario.workload : scenario.other_seeds[seed - 1];
    found[i] = searched_rate(scenario, scenario.clusters[i / seeds], workload);
  });
  for_each_index(clusters.size(), jobs, [&](std::size_t i) {
    ScenarioCluster const& searched = scenario.clusters[i];
    auto const begin = found.begin() + std::ptrdiff_t(i * seeds), end = begin + std::ptrdiff_t(seeds);
    double const rate = std::accumulate(begin, end, 0.0) / double(seeds);
    clusters[i].goodput_per_s = rate * searched.devices;
    clusters[i].least_goodput_per_s = *std::min_element(begin, end) * searched.devices;
    clusters[i].most_goodput_per_s = *std::max_element(begin, end) * searched.devices;
    double const shown = rate > 0 ? rate : scenario.search->low + scenario.search->tolerance;
    clusters[i].runs = {run_cluster(scenario, searched, shown * searched.devices)};
  });
  return clusters;
}

}  // namespace windlass
