#include "src/sim/polynomial_latency.hpp"

#include <cmath>
#include <tuple>

namespace windlass {
namespace {

constexpr std::int64_t large_batch = 95;

double evaluate(Polynomial const& p, double x, double y) { return p.base + p.first * x + p.second * y; }

using ProfileKey = std::tuple<ProfiledEngine, ProfiledModel, int>;

std::map<ProfileKey, PolynomialProfile> const& profiles() {
  using enum ProfiledEngine;
  using enum ProfiledModel;
  static std::map<ProfileKey, PolynomialProfile> const table{
      {{distserve, opt_13b, 1}, {{18.10, 0.10191, 7.122e-6}, {19.93, 6.269e-4, 0.0385}, {7.166, 5.798e-4, 0.1583}}},
      {{distserve, opt_13b, 2}, {{14.74, 0.06858, 2.450e-6}, {13.29, 3.411e-4, 0.06296}, {10.64, 3.118e-4, 0.0856}}},
      {{distserve, opt_13b, 4}, {{12.06, 0.03808, 5.226e-7}, {10.26, 1.879e-4, 0.0327}, {10.48, 1.712e-4, 0.0457}}},
      {{distserve, opt_66b, 2}, {{43.06, 0.27423, 2.248e-5}, {48.29, 9.424e-4, 0.1276}, {28.73, 4.745e-4, 0.2962}}},
      {{distserve, opt_66b, 3}, {{33.00, 0.19568, 1.2205e-5}, {35.80, 5.845e-4, 0.0953}, {22.65, 5.358e-4, 0.2085}}},
      {{distserve, opt_66b, 4}, {{29.44, 0.15135, 8.317e-6}, {30.76, 4.519e-4, 0.0633}, {27.47, 4.047e-4, 0.1248}}},
      {{distserve, opt_66b, 8}, {{25.49, 0.10659, 3.391e-6}, {23.16, 2.269e-4, 0.0480}, {21.72, 3.758e-4, 0.0898}}},
      {{vllm, opt_13b, 1}, {{22.05, 0.14051, 8.077e-6}, {23.48, 5.929e-4, 0.0607}, {20.21, 4.908e-4, 0.1200}}},
      {{vllm, opt_66b, 4}, {{42.97, 0.21287, 4.601e-5}, {39.58, 6.946e-4, 0.1358}, {40.86, 4.265e-4, 0.1951}}},
      {{vllm, opt_66b, 8}, {{38.93, 0.15737, 4.53e-6}, {31.18, 2.756e-4, 0.0680}, {29.09, 6.028e-4, 0.1390}}}};
  return table;
}

using CapacityTable = std::map<ParallelDegree, std::int64_t>;

CapacityTable const& capacities(ProfiledModel model) {
  static CapacityTable const opt_13b{{{1, 1}, 66144},  {{1, 2}, 163008}, {{1, 4}, 356752}, {{1, 5}, 453616},
                                     {{1, 8}, 744224}, {{2, 1}, 163008}, {{2, 2}, 356752}, {{2, 4}, 744224},
                                     {{2, 5}, 937968}, {{4, 1}, 356736}, {{4, 2}, 744224}, {{4, 4}, 1519168}};
  static CapacityTable const opt_66b{
      {{1, 2}, 11600},  {{1, 4}, 78512},  {{1, 8}, 212320},  {{2, 1}, 11600},  {{2, 2}, 78512},  {{2, 4}, 212320},
      {{2, 8}, 479952}, {{3, 1}, 45056},  {{3, 2}, 145408},  {{3, 4}, 346128}, {{3, 8}, 747568}, {{4, 1}, 78496},
      {{4, 2}, 212320}, {{4, 4}, 479936}, {{4, 8}, 1015200}, {{8, 1}, 212304}, {{8, 2}, 479936}, {{8, 4}, 1015184}};
  return model == ProfiledModel::opt_13b ? opt_13b : opt_66b;
}

}  // namespace

PolynomialLatency::PolynomialLatency(PolynomialProfile const& profile, int stages, StageOverhead overhead)
    : profile_(profile), stages_(stages), overhead_(overhead) {}

Microseconds PolynomialLatency::step_us(StepWork const& work, int stage) const {
  double ms = 0, context = double(work.sequence_context);
  if (work.prompts > 0) {
    ms = evaluate(profile_.prefill, double(work.prompt_tokens), work.prompt_tokens_squared) / stages_ +
         overhead_.prefill_per_stage * stages_;
    context += double(work.prompt_tokens);
  } else {
    Polynomial const& decode = work.sequences < large_batch ? profile_.small_decode : profile_.large_decode;
    ms = evaluate(decode, double(work.sequence_context + work.sequences), double(work.sequences)) / stages_;
  }
  if (stage == 0) ms += overhead_.dispatch + overhead_.dispatch_per_token * context;
  return std::llround(ms * 1000);
}

std::optional<PolynomialProfile> polynomial_profile(ProfiledEngine engine, ProfiledModel model, int tp) {
  auto const found = profiles().find({engine, model, tp});
  if (found == profiles().end()) return std::nullopt;
  return found->second;
}

std::optional<std::int64_t> kv_capacity_tokens(ProfiledModel model, ParallelDegree degree) {
  auto const found = capacities(model).find(degree);
  if (found == capacities(model).end()) return std::nullopt;
  return found->second;
}

}  // namespace windlass
