#include "src/policy/placement.hpp"

#include <algorithm>
#include <cmath>

namespace windlass {
namespace {

bool divides(PlacementModel const& model, ParallelDegree degree) {
  return model.heads % degree.tp == 0 && model.layers % degree.pp == 0;
}

std::vector<ParallelDegree> degrees(PlacementModel const& model, int max_tp, int max_gpus) {
  std::vector<ParallelDegree> all;
  for (int tp = 1; tp <= max_tp; ++tp)
    for (int pp = 1; tp * pp <= max_gpus; ++pp)
      if (divides(model, {tp, pp})) all.push_back({tp, pp});
  return all;
}

template <class Ranked>
bool better(Ranked const& a, Ranked const& b) {
  if (a.goodput_per_gpu != b.goodput_per_gpu) return a.goodput_per_gpu > b.goodput_per_gpu;
  if (a.degree.gpus() != b.degree.gpus()) return a.degree.gpus() < b.degree.gpus();
  return a.degree < b.degree;
}

RankedDegree best_degree(std::vector<ParallelDegree> const& candidates,
                         std::function<double(ParallelDegree)> const& goodput) {
  RankedDegree best{.degree = candidates.front(), .goodput_per_gpu = -1};
  for (ParallelDegree const degree : candidates) {
    RankedDegree const next{.degree = degree, .goodput_per_gpu = goodput(degree) / degree.gpus()};
    if (better(next, best)) best = next;
  }
  return best;
}

int instances_for(double rate, double goodput) { return goodput > 0 ? int(std::ceil(rate / goodput - 1e-9)) : 0; }

/// The degrees of both halves of a pair, without the split over nodes.
std::vector<PairedDegree> pairs_of_segment(LowAffinityInput const& in, int pp_cross) {
  std::vector<PairedDegree> pairs;
  auto const halves = degrees(in.model, in.gpus_per_node, in.gpus_per_node);
  auto const runs = [&](ParallelDegree half) {
    ParallelDegree const whole{half.tp, half.pp * pp_cross};
    return divides(in.model, whole) && in.model.runnable(whole);
  };
  for (ParallelDegree const prefill : halves) {
    if (!runs(prefill)) continue;
    for (ParallelDegree const decode : halves)
      if (prefill.gpus() + decode.gpus() <= in.gpus_per_node && runs(decode))
        pairs.push_back({.pp_cross = pp_cross, .prefill = prefill, .decode = decode});
  }
  return pairs;
}

}  // namespace

HighAffinityPlan plan_high_affinity(HighAffinityInput const& in) {
  auto candidates = degrees(in.model, in.gpus_per_node, in.gpus_per_node * in.max_nodes);
  std::erase_if(candidates, [&](ParallelDegree degree) { return !in.model.runnable(degree); });
  HighAffinityPlan plan{.prefill = {},
                        .decode = {},
                        .prefill_instances = 0,
                        .decode_instances = 0,
                        .stop = PlacementStop::nothing_runnable};
  if (candidates.empty()) return plan;
  plan.prefill = best_degree(candidates, in.prefill_goodput);
  plan.decode = best_degree(candidates, in.decode_goodput);
  if (plan.prefill.goodput_per_gpu <= 0 || plan.decode.goodput_per_gpu <= 0) {
    plan.stop = PlacementStop::nothing_meets_slo;
    return plan;
  }
  plan.prefill_instances = instances_for(in.rate, plan.prefill.goodput_per_gpu * plan.prefill.degree.gpus());
  plan.decode_instances = instances_for(in.rate, plan.decode.goodput_per_gpu * plan.decode.degree.gpus());
  plan.stop = PlacementStop::found;
  return plan;
}

std::vector<PairedDegree> paired_candidates(LowAffinityInput const& in) {
  std::vector<PairedDegree> all;
  for (int pp_cross = 1; pp_cross <= in.max_nodes; ++pp_cross) {
    if (in.model.layers % pp_cross != 0) continue;
    auto const pairs = pairs_of_segment(in, pp_cross);
    all.insert(all.end(), pairs.begin(), pairs.end());
  }
  return all;
}

LowAffinityPlan plan_low_affinity(LowAffinityInput const& in) {
  LowAffinityPlan plan{.ranked = {}, .pairs = 0, .stop = PlacementStop::nothing_runnable};
  for (PairedDegree const& degree : paired_candidates(in))
    plan.ranked.push_back({.degree = degree, .goodput_per_gpu = in.goodput(degree) / degree.gpus()});
  if (plan.ranked.empty()) return plan;
  std::sort(plan.ranked.begin(), plan.ranked.end(), better<RankedPair>);
  RankedPair const& best = plan.ranked.front();
  plan.stop = best.goodput_per_gpu > 0 ? PlacementStop::found : PlacementStop::nothing_meets_slo;
  plan.pairs = instances_for(in.rate, best.goodput_per_gpu * best.degree.gpus());
  return plan;
}

}  // namespace windlass
