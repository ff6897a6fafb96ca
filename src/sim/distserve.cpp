#include "src/sim/distserve.hpp"

#include <memory>

namespace windlass {
namespace {

std::optional<PipelineInstance> instance_of(ProfiledEngine engine, ProfiledModel model, ParallelDegree degree) {
  auto const profile = polynomial_profile(engine, model, degree.tp);
  auto const capacity = kv_capacity_tokens(model, degree);
  if (!profile || !capacity) return std::nullopt;
  return PipelineInstance{.role = SimRole::mixed,
                          .latency = std::make_shared<PolynomialLatency>(*profile, degree.pp),
                          .stages = degree.pp,
                          .max_prompt_tokens = *capacity};
}

PlacementModel placement_model(ProfiledModel model) {
  bool const small = model == ProfiledModel::opt_13b;
  return {.heads = small ? 40 : 72, .layers = small ? 40 : 64, .runnable = [model](ParallelDegree degree) {
            return kv_capacity_tokens(model, degree).has_value() &&
                   polynomial_profile(ProfiledEngine::distserve, model, degree.tp).has_value();
          }};
}

}  // namespace

bool meets(std::vector<RequestOutcome> const& outcomes, AttainmentGoal const& goal) {
  if (goal.rule == AttainmentRule::joint) return attainment(outcomes, goal.level) >= goal.target;
  return percentile(ttfts_ms(outcomes), goal.target) < goal.level.ttft_ms &&
         percentile(tpots_ms(outcomes), goal.target) < goal.level.tpot_ms;
}

std::optional<PipelineCluster> distserve_pair(ProfiledModel model, PairedDegree degree) {
  auto const whole = [&](ParallelDegree half) { return ParallelDegree{half.tp, half.pp * degree.pp_cross}; };
  auto prefill = instance_of(ProfiledEngine::distserve, model, whole(degree.prefill));
  auto decode = instance_of(ProfiledEngine::distserve, model, whole(degree.decode));
  if (!prefill || !decode) return std::nullopt;
  prefill->role = SimRole::prefill;
  decode->role = SimRole::decode;
  return PipelineCluster{.instances = {*prefill, *decode}, .first_token = FirstToken::from_decode};
}

std::optional<PipelineCluster> colocated_instance(ProfiledEngine engine, ProfiledModel model, ParallelDegree degree) {
  auto const instance = instance_of(engine, model, degree);
  if (!instance) return std::nullopt;
  return PipelineCluster{.instances = {*instance}, .first_token = FirstToken::from_decode};
}

GoodputPlan goodput_per_gpu(PairSearch const& search, PipelineCluster const& cluster, int gpus) {
  auto const meets_at = [&](double rate_per_gpu) {
    auto const workload = make_workload({.requests = search.requests,
                                         .arrivals = {.rate_per_s = rate_per_gpu * gpus},
                                         .lengths = search.lengths,
                                         .seed = search.seed});
    return meets(simulate(cluster, workload).outcomes,
                 {.level = search.level, .target = search.target, .rule = search.rule});
  };
  return plan_goodput(
      {.meets = meets_at, .low_rate = 0, .high_rate = search.high_rate_per_gpu, .tolerance = search.tolerance_per_gpu});
}

LowAffinityPlan search_pairs(PairSearch const& search, int nodes, int gpus_per_node) {
  auto const goodput = [&](PairedDegree degree) {
    auto const cluster = distserve_pair(search.model, degree);
    return cluster ? goodput_per_gpu(search, *cluster, degree.gpus()).rate * degree.gpus() : 0.0;
  };
  return plan_low_affinity({.model = placement_model(search.model),
                            .gpus_per_node = gpus_per_node,
                            .max_nodes = nodes,
                            .rate = 1,
                            .goodput = goodput});
}

}  // namespace windlass
