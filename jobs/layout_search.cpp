#include "jobs/layout_search.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "src/policy/goodput.hpp"

namespace windlass {
namespace {

class Search {
 public:
  explicit Search(LayoutProblem const& problem) : problem_(problem) {
    for (SimRequest const& request : problem.workload(1))
      longest_ = std::max(longest_, std::int64_t(request.lengths.prompt_tokens) + request.lengths.output_tokens);
  }

  std::vector<RankedLayout> run() {
    std::vector<RankedLayout> all = colocated();
    for (RankedLayout const& layout : elastic()) all.push_back(layout);
    for (RankedLayout const& layout : pairs()) all.push_back(layout);
    for (RankedLayout const& layout : apart()) all.push_back(layout);
    std::erase_if(all, [](RankedLayout const& layout) { return layout.goodput_per_gpu <= 0; });
    std::stable_sort(all.begin(), all.end(), [](RankedLayout const& a, RankedLayout const& b) {
      return a.goodput_per_gpu > b.goodput_per_gpu;
    });
    return all;
  }

 private:
  int gpus() const { return problem_.nodes * problem_.gpus_per_node; }

  bool runs(ParallelDegree degree) const { return kv_tokens(degree) >= longest_; }

  PlacementModel placement() const {
    return {.heads = int(problem_.model.heads),
            .layers = int(problem_.model.layers),
            .runnable = [this](ParallelDegree d) { return runs(d); }};
  }

  std::int64_t kv_tokens(ParallelDegree degree) const {
    if (problem_.measured) return degree.gpus() == 1 ? problem_.measured->kv_tokens : 0;
    return kv_tokens_beside_weights(problem_.model, problem_.device, degree);
  }

  std::shared_ptr<LatencyModel const> latency(ParallelDegree degree) const {
    if (problem_.measured) return std::make_shared<MeasuredLatency>(*problem_.measured);
    return std::make_shared<RooflineLatency>(problem_.model, problem_.device, degree);
  }

  PipelineInstance instance(SimRole role, ParallelDegree degree) const {
    constexpr std::int64_t saturating_tokens = 4096;  // longer prefill steps delay without computing faster
    return {.role = role,
            .latency = latency(degree),
            .stages = degree.pp,
            .max_prompt_tokens = saturating_tokens,
            .max_context_tokens = unlimited,
            .kv_tokens = kv_tokens(degree)};
  }

  PipelineCluster unit(RankedLayout const& layout) const {
    PipelineCluster cluster;
    if (layout.kind == LayoutKind::colocated || layout.kind == LayoutKind::chunked) {
      cluster.instances = {instance(SimRole::mixed, layout.prefill)};
      if (layout.kind == LayoutKind::chunked) {
        cluster.instances[0].chunk_tokens = problem_.measured ? problem_.measured->chunk_tokens : chunk_tokens;
        cluster.instances[0].max_prompts = problem_.measured ? problem_.measured->max_sequences : chunked_sequences;
      }
      return cluster;
    }
    auto const whole = [&](ParallelDegree half) { return ParallelDegree{half.tp, half.pp * layout.pp_cross}; };
    cluster.instances.assign(std::size_t(layout.prefill_instances), instance(SimRole::prefill, whole(layout.prefill)));
    cluster.instances.insert(cluster.instances.end(), std::size_t(layout.decode_instances),
                             instance(SimRole::decode, whole(layout.decode)));
    bool const in_node = layout.kind == LayoutKind::pair_in_node;
    cluster.link = {
        .bytes_per_us = in_node ? problem_.device.link_bytes_per_us : problem_.device.node_link_bytes_per_us,
        .kv_bytes_per_token = problem_.model.kv_bytes_per_token(),
        .latency_us = 20};
    return cluster;
  }

  /// A group of instances that prefill and decode in any number. Its times are the roofline's: a prefill over n
  /// instances takes the n-th part of what grows with the tokens, and 1 ms more for each that joins.
  ElasticCluster elastic_unit(RankedLayout const& layout) const {
    RooflineLatency const latency(problem_.model, problem_.device, layout.prefill);
    auto const prefill = [&](double tokens) {
      return double(latency.step_us(
          {.prompts = 1, .prompt_tokens = std::int64_t(tokens), .prompt_tokens_squared = tokens * tokens}, 0));
    };
    auto const step = [&](std::int64_t sequences, std::int64_t context) {
      return double(latency.step_us({.sequences = sequences, .sequence_context = context}, 0));
    };
    constexpr double a = 4096, b = 8192, c = 16384;  // three lengths of compute-bound prompts give the polynomial
    double const slope_ab = (prefill(b) - prefill(a)) / (b - a), slope_bc = (prefill(c) - prefill(b)) / (c - b);
    double const square = std::max(0.0, (slope_bc - slope_ab) / (c - a)), token = slope_ab - square * (a + b);
    double const base = std::max(0.0, prefill(a) - token * a - square * a * a);
    ElasticCluster cluster{
        .degree_times = {},
        .step = {step(1, 0), (step(256, 0) - step(1, 0)) / 255, (step(1, 1'000'000) - step(1, 0)) / 1e6},
        .kv_tokens = kv_tokens_beside_weights(problem_.model, problem_.device, layout.prefill),
        .migration_us_per_token = problem_.model.kv_bytes_per_token() / problem_.device.link_bytes_per_us};
    for (int n = 1; n <= layout.prefill_instances; ++n)
      cluster.degree_times.push_back(
          {.base_us = base + 1000.0 * (n - 1), .per_token_us = token / n, .per_square_us = square / n});
    return cluster;
  }

  /// What one role's instances were pressed by.
  struct Pressure {
    double busy = 0;       ///< share of the time while requests came, at most 1
    bool is_full = false;  ///< a pool had no room for one more request
  };

  struct Ended {
    std::vector<RequestOutcome> outcomes;
    Pressure prefill, decode;  ///< colocated: both the same; elastic: nothing
  };

  Ended run(RankedLayout const& layout, double rate) const {
    Workload const workload = problem_.workload(rate);
    if (layout.kind == LayoutKind::elastic) return {simulate(elastic_unit(layout), workload).outcomes, {}, {}};
    auto const cluster = unit(layout);
    auto report = simulate(cluster, workload);
    Ended ended{std::move(report.outcomes), {}, {}};
    double const time_us = double(std::max<Microseconds>(1, workload.back().arrival_us));
    for (std::size_t i = 0; i < cluster.instances.size(); ++i) {
      bool const decodes = cluster.instances[i].role == SimRole::decode;
      Pressure& pressure = decodes ? ended.decode : ended.prefill;
      pressure.busy = std::max(pressure.busy, std::min(1.0, double(report.use[i].busy_us) / time_us));
      pressure.is_full |= report.use[i].peak_kv_tokens + longest_ > cluster.instances[i].kv_tokens;
    }
    if (cluster.instances.front().role == SimRole::mixed) ended.decode = ended.prefill;
    return ended;
  }

  std::vector<RequestOutcome> outcomes(RankedLayout const& layout, double rate) const {
    return run(layout, rate).outcomes;
  }

  static std::string cause_of(RankedLayout const& layout, Ended const& ended) {
    bool const apart = layout.kind == LayoutKind::pair_in_node || layout.kind == LayoutKind::apart;
    if (layout.kind == LayoutKind::elastic) return "";
    if (layout.limit == "TPOT") return apart ? "steps of so many sequences" : "prompts delay running answers";
    constexpr double always = 0.85;
    if (ended.decode.is_full) return "no KV memory left for decoding";
    if (ended.prefill.busy >= always) return apart ? "prefill is always busy" : "instances are always busy";
    return "prompts wait for each other";
  }

  double goodput(PipelineCluster const& cluster, ServiceLevel level) const {
    return highest_rate(
        [&](double rate) { return attainment(simulate(cluster, problem_.workload(rate)).outcomes, level); });
  }

  /// Where the attainment meets the target: doubled until it fails, or halved until it does not, then to 3 %.
  double highest_rate(std::function<double(double rate)> const& attained) const {
    auto const meets = [&](double rate) { return attained(rate) >= problem_.target; };
    double high = 0.64;
    while (!meets(high))
      if (high /= 2; high < 0.01) return 0;
    while (high < 1e6 && meets(high * 2)) high *= 2;
    return plan_goodput({.meets = meets, .low_rate = high, .high_rate = 2 * high, .tolerance = 0.03 * high}).rate;
  }

  void describe(RankedLayout& layout) const {
    double const rate = layout.goodput_per_gpu * layout.gpus;
    auto const use = [&](std::vector<RequestOutcome> const& ended) {
      return std::pair(percentile(ttfts_ms(ended), problem_.target) / problem_.level.ttft_ms,
                       percentile(tpots_ms(ended), problem_.target) / problem_.level.tpot_ms);
    };
    std::tie(layout.ttft_use, layout.tpot_use) = use(outcomes(layout, rate));
    Ended const beyond = run(layout, rate * 1.1);
    auto const [ttft, tpot] = use(beyond.outcomes);
    layout.limit = ttft >= tpot ? "TTFT" : "TPOT";
    layout.cause = cause_of(layout, beyond);
    layout.units = gpus() / layout.gpus;
  }

  RankedLayout finished(RankedLayout layout) const {
    layout.goodput_per_gpu =
        highest_rate([&](double rate) { return attainment(outcomes(layout, rate), problem_.level); }) / layout.gpus;
    if (layout.goodput_per_gpu > 0) describe(layout);
    return layout;
  }

  std::vector<RankedLayout> colocated() const {
    std::vector<RankedLayout> all;
    for (int tp = 1; tp <= problem_.gpus_per_node; ++tp)
      for (int pp = 1; tp * pp <= gpus() && pp <= 8; ++pp) {
        ParallelDegree const degree{tp, pp};
        if (problem_.model.heads % tp != 0 || problem_.model.layers % pp != 0 || !runs(degree)) continue;
        all.push_back(finished(
            {.kind = LayoutKind::colocated, .prefill = degree, .decode = degree, .gpus = tp * pp, .limit = {}}));
        if (pp > 1) continue;
        all.push_back(
            finished({.kind = LayoutKind::chunked, .prefill = degree, .decode = degree, .gpus = tp, .limit = {}}));
      }
    return all;
  }

  /// Up to eight instances of each tensor-parallel degree as one group.
  std::vector<RankedLayout> elastic() const {
    std::vector<RankedLayout> all;
    if (problem_.measured) return all;  // a prefill over several instances was not measured
    constexpr int largest_group = 8;
    for (int tp = 1; tp <= problem_.gpus_per_node; tp *= 2) {
      ParallelDegree const degree{tp, 1};
      int const instances = std::min(largest_group, gpus() / tp);
      if (problem_.model.heads % tp != 0 || instances < 2 || !runs(degree)) continue;
      all.push_back(finished({.kind = LayoutKind::elastic,
                              .prefill = degree,
                              .decode = degree,
                              .prefill_instances = instances,
                              .gpus = instances * tp,
                              .limit = {}}));
    }
    return all;
  }

  std::vector<RankedLayout> pairs() const {
    LowAffinityInput const in{.model = placement(),
                              .gpus_per_node = problem_.gpus_per_node,
                              .max_nodes = std::min(2, problem_.nodes),
                              .rate = 1,
                              .goodput = {}};
    std::vector<RankedLayout> all;
    for (PairedDegree const& degree : paired_candidates(in))
      if (degree.prefill.pp <= 4 && degree.decode.pp <= 4)
        all.push_back(finished({.kind = LayoutKind::pair_in_node,
                                .prefill = degree.prefill,
                                .decode = degree.decode,
                                .pp_cross = degree.pp_cross,
                                .gpus = degree.gpus(),
                                .limit = {}}));
    return all;
  }

  /// Both phases on any nodes: the degrees that are best alone, and the pair of degrees and numbers of instances that
  /// make the most of the cluster (the best degree alone may leave too few GPUs for the other phase); the same without
  /// pipeline stages.
  std::vector<RankedLayout> apart() const {
    ServiceLevel const any_tpot{problem_.level.ttft_ms, 1e12}, any_ttft{1e12, problem_.level.tpot_ms};
    Goodputs prefill, decode;
    auto model = placement();
    model.runnable = [this](ParallelDegree d) { return d.pp <= 4 && runs(d); };
    plan_high_affinity(
        {.model = model,
         .gpus_per_node = problem_.gpus_per_node,
         .max_nodes = std::min(2, problem_.nodes),
         .rate = 1,
         .prefill_goodput = [&](ParallelDegree d) { return prefill[d] = alone(SimRole::prefill, d, any_tpot); },
         .decode_goodput = [&](ParallelDegree d) { return decode[d] = alone(SimRole::decode, d, any_ttft); }});
    auto const one_stage = [](Goodputs rates) {
      std::erase_if(rates, [](auto const& each) { return each.first.pp > 1; });
      return rates;
    };
    std::vector<RankedLayout> all;
    if (auto const best = best_pair(prefill, decode)) all.push_back(finished(*best));
    bool const staged = !all.empty() && std::max(all.front().prefill.pp, all.front().decode.pp) > 1;
    if (staged)  // stages of jobs decode one batch at a time
      if (auto const flat = best_pair(one_stage(prefill), one_stage(decode))) all.push_back(finished(*flat));
    return all;
  }

  using Goodputs = std::map<ParallelDegree, double>;  ///< of one instance, requests/s
  using InstanceRate = std::pair<ParallelDegree, double>;

  /// Goodput of one phase while the other takes no time.
  double alone(SimRole role, ParallelDegree degree, ServiceLevel level) const {
    PipelineCluster cluster;
    cluster.instances = {instance(SimRole::prefill, degree), instance(SimRole::decode, degree)};
    for (PipelineInstance& other : cluster.instances)
      if (other.role != role) other.latency = std::make_shared<Instant>(), other.kv_tokens = unlimited;
    return goodput(cluster, level);
  }

  /// The degrees and numbers of instances with the highest rate per GPU.
  std::optional<RankedLayout> best_pair(Goodputs const& prefill, Goodputs const& decode) const {
    RankedLayout best{.kind = LayoutKind::apart, .limit = {}};
    double best_rate = 0;
    for (auto const& one : prefill)
      for (auto const& other : decode) best_rate = fill(one, other, best_rate, best);
    return best_rate > 0 ? std::optional(best) : std::nullopt;
  }

  /// Puts into `best` the numbers of instances whose rate per GPU exceeds `best_rate`; returns the better rate.
  double fill(InstanceRate prefill, InstanceRate decode, double best_rate, RankedLayout& best) const {
    int const p = prefill.first.gpus(), d = decode.first.gpus();
    for (int prefills = 1; prefills * p + d <= gpus(); ++prefills)
      for (int decodes = 1; prefills * p + decodes * d <= gpus(); ++decodes) {
        int const used = prefills * p + decodes * d;
        double const rate = std::min(prefills * prefill.second, decodes * decode.second) / used;
        if (rate <= best_rate * 1.001) continue;
        best_rate = rate;
        best.prefill = prefill.first;
        best.decode = decode.first;
        best.prefill_instances = prefills;
        best.decode_instances = decodes;
        best.gpus = used;
      }
    return best_rate;
  }

  /// The phase that is not looked at.
  class Instant final : public LatencyModel {
   public:
    Microseconds step_us(StepWork const&, int) const override { return 1; }
  };

  static constexpr std::int64_t chunk_tokens = 512, chunked_sequences = 256;  ///< of one step; that run at once

  LayoutProblem const& problem_;
  std::int64_t longest_ = 1;  ///< tokens of the longest request: what a pool must hold
};

}  // namespace

std::vector<RankedLayout> search_layouts(LayoutProblem const& problem) { return Search(problem).run(); }

}  // namespace windlass
