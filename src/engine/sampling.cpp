#include "src/engine/sampling.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "src/engine/exponential.hpp"
#include "src/engine/philox.hpp"

namespace windlass {
namespace {

using Candidate = SamplingScratch::Candidate;

constexpr float impossible = -std::numeric_limits<float>::infinity();
constexpr std::size_t lanes = 16;  // independent partial results, so that the compiler makes vectors of them

bool comes_before(Candidate const& a, Candidate const& b) {
  return a.logit != b.logit ? a.logit > b.logit : number(a.token) < number(b.token);
}

float largest(std::span<float const> values) {
  std::array<float, lanes> best;
  best.fill(impossible);
  std::size_t i = 0;
  for (; i + lanes <= values.size(); i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) best[j] = values[i + j] > best[j] ? values[i + j] : best[j];
  for (; i < values.size(); ++i) best[0] = values[i] > best[0] ? values[i] : best[0];
  return *std::max_element(best.begin(), best.end());
}

/// The lowest id with the largest logit.
Candidate likeliest(std::span<float const> logits) {
  constexpr std::size_t part = 1024;  // only a part with a new maximum is looked at twice
  Candidate best{impossible, TokenId{0}};
  for (std::size_t at = 0; at < logits.size(); at += part) {
    auto const values = logits.subspan(at, std::min(part, logits.size() - at));
    float const value = largest(values);
    if (value > best.logit)
      best = {value, TokenId(at + std::size_t(std::find(values.begin(), values.end(), value) - values.begin()))};
  }
  return best;
}

bool changes_logits(SampleRow const& row) {
  SamplingParameters const& p = *row.parameters;
  return !p.allowed_token_ids.empty() || !p.logit_bias.empty() || !row.state->counts().empty() ||
         row.state->output_tokens() < p.min_tokens || row.state->constraint();
}

/// Leaves the tokens that may come next.
void apply_constraint(SampleRow const& row, std::span<float> logits) {
  TokenConstraint& constraint = *row.state->constraint();
  ConstraintPlace const place = row.state->constraint_place();
  bool const may_end = constraint.may_end(place) && row.state->output_tokens() >= row.parameters->min_tokens;
  std::vector<std::pair<std::size_t, float>> ends;
  for (TokenId const token : row.state->ends())
    if (number(token) < logits.size()) ends.emplace_back(number(token), logits[number(token)]);
  auto const mask = constraint.allowed(place);
  for (std::size_t word = 0; word * 64 < logits.size(); ++word) {
    std::uint64_t const bits = word < mask->size() ? (*mask)[word] : 0;
    if (bits == ~std::uint64_t{0}) continue;
    std::size_t const end = std::min(logits.size(), word * 64 + 64);
    for (std::size_t i = word * 64; i < end; ++i)
      if (!(bits >> (i % 64) & 1)) logits[i] = impossible;
  }
  for (auto const& [token, logit] : ends) logits[token] = may_end ? logit : impossible;
}

void apply_penalties(SampleRow const& row, std::span<float> logits) {
  SamplingParameters const& p = *row.parameters;
  for (auto const& [token, count] : row.state->counts()) {
    if (number(token) >= logits.size()) continue;
    double x = double(logits[number(token)]);
    x = x > 0 ? x / p.repetition_penalty : x * p.repetition_penalty;
    if (count.output > 0) x -= p.frequency_penalty * count.output + p.presence_penalty;
    logits[number(token)] = float(x);
  }
}

/// The row's logits as the request changes them.
std::span<float const> changed_logits(SampleRow const& row, SamplingScratch& scratch) {
  if (!changes_logits(row)) return row.logits;
  SamplingParameters const& p = *row.parameters;
  std::vector<float>& logits = scratch.logits;
  if (p.allowed_token_ids.empty()) {
    logits.assign(row.logits.begin(), row.logits.end());
  } else {
    logits.assign(row.logits.size(), impossible);
    for (TokenId token : p.allowed_token_ids)
      if (number(token) < logits.size()) logits[number(token)] = row.logits[number(token)];
  }
  if (row.state->output_tokens() < p.min_tokens)
    for (TokenId token : row.state->ends())
      if (number(token) < logits.size()) logits[number(token)] = impossible;
  for (auto const& [token, bias] : p.logit_bias)
    if (number(token) < logits.size()) logits[number(token)] = float(double(logits[number(token)]) + bias);
  apply_penalties(row, logits);
  if (row.state->constraint()) apply_constraint(row, logits);
  return logits;
}

/// Tokens in descending order, found and sorted only as far as they are asked for.
class Descending {
 public:
  Descending(std::span<float const> logits, std::vector<Candidate>& candidates, float top, float temperature)
      : logits_(logits), candidates_(candidates), top_(top), temperature_(temperature) {
    candidates_.clear();
  }

  /// The token of this rank; null behind the last one that can be drawn. Ranks are asked for in ascending order.
  Candidate const* at(std::size_t rank) {
    while (rank == sorted_) {
      if (sorted_ < candidates_.size())
        sort_some();
      else if (!collect_band())
        return nullptr;
    }
    return &candidates_[rank];
  }

 private:
  /// Adds the tokens of the next band of logits, in ascending id.
  bool collect_band() {
    constexpr std::array bands{-2.0f, -5.0f, -9.0f, -15.0f, -30.0f, never_drawn_below};  // below top, in temperatures
    if (band_ == bands.size()) return false;
    float const low = top_ + bands[band_++] * temperature_;
    constexpr std::size_t part = 64;
    for (std::size_t at = 0; at < logits_.size(); at += part) {
      auto const values = logits_.subspan(at, std::min(part, logits_.size() - at));
      if (largest(values) < low) continue;
      for (std::size_t i = 0; i < values.size(); ++i)
        if (values[i] >= low && values[i] < high_) candidates_.push_back({values[i], TokenId(at + i)});
    }
    high_ = low;
    return true;
  }

  void sort_some() {
    std::size_t const end = std::min(candidates_.size(), sorted_ + std::max<std::size_t>(64, sorted_ * 2));
    auto const first = candidates_.begin() + std::ptrdiff_t(sorted_), last = candidates_.begin() + std::ptrdiff_t(end);
    if (last != candidates_.end()) std::nth_element(first, last, candidates_.end(), comes_before);
    std::sort(first, last, comes_before);
    sorted_ = end;
  }

  std::span<float const> logits_;
  std::vector<Candidate>& candidates_;
  float top_, temperature_;
  float high_ = std::numeric_limits<float>::infinity();
  std::size_t band_ = 0, sorted_ = 0;
};

/// Sum of exp((x - top) / temperature), in ascending id, in sixteen interleaved partial sums. Written in steps that
/// each become vector code: it reads the whole vocabulary for every token drawn.
double sum_of_weights(std::span<float const> logits, float top, float temperature) {
  constexpr std::size_t part = 256;
  std::array<double, lanes> sums{};
  std::array<float, part> weights;
  for (std::size_t at = 0; at < logits.size(); at += part) {
    std::size_t const count = std::min(part, logits.size() - at);
    float const* x = logits.data() + at;  // [count]
    for (std::size_t i = 0; i < count; ++i) weights[i] = decaying_exp((x[i] - top) / temperature);
    std::fill(weights.begin() + std::ptrdiff_t(count), weights.end(), 0.0f);
    for (std::size_t i = 0; i < part; i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += double(weights[i + lane]);
  }
  double sum = 0;
  for (double lane_sum : sums) sum += lane_sum;
  return sum;
}

/// One draw: the distribution that is left after min_p, top_k and top_p.
class Draw {
 public:
  Draw(SampleRow const& row, std::span<float const> logits, Candidate const& top, SamplingScratch& scratch)
      : parameters_(*row.parameters),
        logits_(logits),
        top_(top),
        temperature_(std::max(float(parameters_.temperature), std::numeric_limits<float>::min())),
        descending_(logits, scratch.candidates, top.logit, temperature_) {}

  TokenId token(double uniform) {
    bool const keeps_few = parameters_.top_k > 0 || parameters_.min_p > 0;
    double total = keeps_few ? sum_of_ranks() : sum_of_weights(logits_, top_.logit, temperature_);
    double const wanted = parameters_.top_p * total;
    if (parameters_.top_p < 1) total = nucleus(wanted);
    return pick(uniform * total, parameters_.top_p < 1 ? wanted : total);
  }

 private:
  /// Relative to the likeliest token's; 0 for what min_p leaves out.
  float weight(float logit) const {
    float const w = decaying_exp((logit - top_.logit) / temperature_);
    return w >= float(parameters_.min_p) ? w : 0;
  }

  /// Calls visit(token, weight) for the tokens that top_k and min_p keep, in descending order, until it returns false.
  template <class Visit>
  void for_ranks(Visit const& visit) {
    std::size_t const end = parameters_.top_k > 0 ? std::size_t(parameters_.top_k) : logits_.size();
    for (std::size_t rank = 0; rank < end; ++rank) {
      Candidate const* candidate = descending_.at(rank);
      double const w = candidate ? double(weight(candidate->logit)) : 0;
      if (w == 0 || !visit(candidate->token, w)) return;
    }
  }

  double sum_of_ranks() {
    double sum = 0;
    for_ranks([&](TokenId, double w) {
      sum += w;
      return true;
    });
    return sum;
  }

  /// Sum of the shortest run of likeliest tokens that reaches `wanted`.
  double nucleus(double wanted) {
    double sum = 0;
    for_ranks([&](TokenId, double w) {
      sum += w;
      return sum < wanted;
    });
    return sum;
  }

  /// The first token at which the running sum exceeds `target`, or the last one that begins before `end`.
  TokenId pick(double target, double end) {
    double sum = 0;
    TokenId chosen = top_.token;
    for_ranks([&](TokenId token, double w) {
      if (sum >= end) return false;
      chosen = token;
      sum += w;
      return sum <= target;
    });
    return chosen;
  }

  SamplingParameters const& parameters_;
  std::span<float const> logits_;
  Candidate top_;
  float temperature_;
  Descending descending_;
};

TokenId lowest_allowed(SampleRow const& row) {
  auto const& allowed = row.parameters->allowed_token_ids;
  return allowed.empty() ? TokenId{0} : *std::min_element(allowed.begin(), allowed.end());
}

}  // namespace

SamplingState::SamplingState(SamplingParameters const& parameters, int choice, SequenceTokens const& tokens)
    : choice_(choice),
      counts_needed_(parameters.presence_penalty != 0 || parameters.frequency_penalty != 0 ||
                     parameters.repetition_penalty != 1),
      ends_(tokens.end_tokens.begin(), tokens.end_tokens.end()),
      constraint_(tokens.constraint) {
  if (constraint_) constraint_place_ = constraint_->start();
  ends_.insert(ends_.end(), parameters.stop_token_ids.begin(), parameters.stop_token_ids.end());
  if (parameters.repetition_penalty != 1)
    for (TokenId token : tokens.prompt) counts_[token].in_prompt = true;
  for (TokenId token : tokens.output) accept(token);
}

void SamplingState::accept(TokenId token) {
  ++output_tokens_;
  if (counts_needed_) ++counts_[token].output;
  if (constraint_) constraint_place_ = constraint_->after(constraint_place_, token);
}

std::optional<TokenId> sample(SampleRow const& row, SamplingScratch& scratch) {
  auto const logits = changed_logits(row, scratch);
  Candidate const top = likeliest(logits);
  if (top.logit == impossible) {
    if (row.state->constraint()) return std::nullopt;
    return lowest_allowed(row);
  }
  if (row.parameters->temperature == 0) return top.token;
  Draw draw(row, logits, top, scratch);
  return draw.token(uniform({.seed = row.parameters->seed,
                             .choice = std::uint32_t(row.state->choice()),
                             .output_position = std::uint64_t(row.state->output_tokens())}));
}

PositionLogprobs position_logprobs(LogprobRow const& row) {
  auto const logprob = [&](TokenId token) { return row.logits[number(token)] - row.normalizer; };
  PositionLogprobs result{.chosen = {row.chosen, logprob(row.chosen)}, .top = {}};
  std::size_t const wanted = std::min(std::size_t(std::max(row.top, 0)), row.logits.size());
  if (wanted == 0) return result;
  std::vector<Candidate> heap;  // [wanted], the last of them on top
  for (std::size_t i = 0; i < row.logits.size(); ++i) {
    if (heap.size() == wanted) {
      if (!(row.logits[i] > heap.front().logit)) continue;
      std::pop_heap(heap.begin(), heap.end(), comes_before);
      heap.pop_back();
    }
    heap.push_back({row.logits[i], TokenId(i)});
    std::push_heap(heap.begin(), heap.end(), comes_before);
  }
  std::sort_heap(heap.begin(), heap.end(), comes_before);
  for (Candidate const& candidate : heap) result.top.push_back({candidate.token, logprob(candidate.token)});
  return result;
}

}  // namespace windlass
