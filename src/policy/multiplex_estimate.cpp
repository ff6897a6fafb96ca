#include "src/policy/multiplex_estimate.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace windlass {
namespace {

enum class Phase : std::uint8_t { prefill, decode };

/// Decode times of one batch size are running means over the lengths, as MuxServe's planner reads its table.
struct LengthTimes {
  std::vector<int> tokens;
  std::vector<double> seconds;
};

std::map<int, LengthTimes> by_batch(std::vector<MultiplexSample> const& samples, Phase phase) {
  std::map<int, LengthTimes> all;
  std::map<int, std::pair<double, int>> decode_sums;
  for (MultiplexSample const& sample : samples) {
    double const value = phase == Phase::prefill ? sample.prefill_s : sample.decode_s;
    if (value <= 0) continue;
    double seconds = value;
    if (phase == Phase::decode) {
      auto& [sum, count] = decode_sums[sample.batch];
      sum += value;
      seconds = sum / ++count;
    }
    all[sample.batch].tokens.push_back(sample.tokens);
    all[sample.batch].seconds.push_back(seconds);
  }
  return all;
}

/// Up to the first length beyond `mean_tokens`: its time for prefill, the mean of all up to it for decode.
BatchCurve curve(std::vector<MultiplexSample> const& samples, Phase phase, double mean_tokens) {
  BatchCurve result;
  for (auto const& [batch, times] : by_batch(samples, phase)) {
    double sum = 0, last = 0;
    int count = 0;
    for (std::size_t i = 0; i < times.tokens.size(); ++i) {
      last = times.seconds[i];
      sum += last;
      ++count;
      if (times.tokens[i] > mean_tokens) break;
    }
    result.batch.push_back(batch);
    result.seconds.push_back(phase == Phase::prefill ? last : sum / count);
  }
  return result;
}

struct Costs {
  BatchCurve prefill, decode;
};

Costs costs_of(MultiplexModel const& model, int gpus, int sm_percent) {
  auto const& shares = model.profile->at(gpus);
  return {curve(shares.at(prefill_sm_percent), Phase::prefill, model.prompt_tokens),
          curve(shares.at(sm_percent), Phase::decode, model.output_tokens)};
}

/// Linear between points i and i+1 only, the nearer one's value outside: i is the first measured decode batch that is
/// not smaller, so in effect the time of the next larger measured batch.
double at(BatchCurve const& curve, std::size_t i, double batch) {
  std::size_t const last = curve.batch.size() - 1;
  i = std::min(i, last);
  if (i == last || batch <= curve.batch[i]) return curve.seconds[i];
  double const part = std::min(1.0, (batch - curve.batch[i]) / (curve.batch[i + 1] - curve.batch[i]));
  return curve.seconds[i] + part * (curve.seconds[i + 1] - curve.seconds[i]);
}

struct StepTimes {
  double prefill_s, decode_s;
};

StepTimes times_at(MultiplexModel const& model, Costs const& costs, double batch) {
  auto const& batches = costs.decode.batch;
  auto const i = std::size_t(std::lower_bound(batches.begin(), batches.end(), batch) - batches.begin());
  return {at(costs.prefill, i, batch), at(costs.decode, i, batch) + model.overhead_us_per_sequence() * 1e-6 * batch};
}

bool keeps_up(double throughput, double rate) { return throughput + std::min(0.5, throughput * 0.1) > rate; }

double max_sequences(MultiplexModel const& model, Costs const& costs, double cache_gib) {
  double const sequence_gib = model.kv_gib_per_token * (model.output_tokens + model.prompt_tokens);
  return std::min(std::floor(cache_gib / sequence_gib), costs.decode.batch.back());
}

/// The batch at which the model alone reaches its rate, by halving until the interval is shorter than 1.
SoloEstimate solve_batch(MultiplexModel const& model, Costs const& costs, double cache_gib) {
  double low = 1, high = std::max(2.0, max_sequences(model, costs, cache_gib)), batch = 0, throughput = 0;
  while (high - low >= 1) {
    batch = (low + high) / 2;
    auto const times = times_at(model, costs, batch);
    throughput = batch / (times.decode_s * model.output_tokens + times.prefill_s);
    (throughput >= model.rate ? high : low) = batch;
  }
  return {.sm_percent = 0, .batch = int(batch), .throughput = throughput};
}

struct Member {
  MultiplexModel const* model;
  Costs costs;
  double max_batch;
  double batch;
};

struct Round {
  double throughput;                   ///< rate-weighted mean
  std::optional<std::size_t> laggard;  ///< the member furthest below its rate that can still grow
};

Round evaluate(std::vector<Member> const& members) {
  double prefills_s = 0, rates = 0, weighted = 0, least_ratio = 100;
  std::vector<double> decodes_s;
  for (Member const& member : members) {
    auto const times = times_at(*member.model, member.costs, member.batch);
    prefills_s += times.prefill_s;
    decodes_s.push_back(times.decode_s);
  }
  Round round{.throughput = 0, .laggard = {}};
  for (std::size_t i = 0; i < members.size(); ++i) {
    Member const& member = members[i];
    double const rate = member.model->rate;
    double const throughput = member.batch / (decodes_s[i] * member.model->output_tokens + prefills_s);
    weighted += throughput * rate;
    rates += rate;
    bool const lags = throughput + std::min(0.5, throughput * 0.1) < rate;
    if (!lags || member.batch >= member.max_batch || throughput / rate >= least_ratio) continue;
    least_ratio = throughput / rate;
    round.laggard = i;
  }
  round.throughput = weighted / rates;
  return round;
}

std::vector<Member> start(std::span<MeshMember const> members, int gpus) {
  double weights_gb = 0, base = 0;
  for (MeshMember const& member : members) {
    weights_gb += member.model->weights_gb();
    base += member.model->kv_gib_per_token * member.model->rate;
  }
  constexpr double activation_gb = 6;
  double const cache = std::max(0.0, gpu_gb * gpus * 0.98 - weights_gb - activation_gb * double(members.size()));
  std::vector<Member> result;
  for (MeshMember const& member : members) {
    MultiplexModel const& model = *member.model;
    double const share = model.rate * model.kv_gib_per_token / base * cache;
    auto costs = costs_of(model, gpus, member.sm_percent);
    double const batch = solve_batch(model, costs, share).batch, max_batch = max_sequences(model, costs, share);
    result.push_back({.model = &model, .costs = std::move(costs), .max_batch = max_batch, .batch = batch});
  }
  return result;
}

}  // namespace

SoloEstimate estimate_solo(MultiplexModel const& model, int gpus, double cache_share) {
  SoloEstimate best{.sm_percent = 0, .batch = 0, .throughput = 0};
  auto const shares = model.profile->find(gpus);
  if (shares == model.profile->end()) return best;
  for (auto const& [sm_percent, samples] : shares->second) {
    if (sm_percent > 90 || sm_percent == prefill_sm_percent) continue;
    auto estimate = solve_batch(model, costs_of(model, gpus, sm_percent), cache_share * gpu_gb * gpus);
    estimate.sm_percent = sm_percent;
    if (keeps_up(estimate.throughput, model.rate)) {
      estimate.throughput = model.rate;
      return estimate;
    }
    if (estimate.throughput > best.throughput) best = estimate;
  }
  return best;
}

double estimate_mesh(std::span<MeshMember const> mesh, int gpus) {
  std::vector<Member> members = start(mesh, gpus);
  double best = 0;
  auto const grows = [](Member const& member) { return member.batch < member.max_batch; };
  while (std::any_of(members.begin(), members.end(), grows)) {
    Round const round = evaluate(members);
    best = std::max(best, round.throughput);
    if (!round.laggard) break;
    members[*round.laggard].batch += 1;
  }
  return best;
}

}  // namespace windlass
