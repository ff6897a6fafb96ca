/// DistServe's latency model: polynomials in tokens and context, fitted to measured steps.
#pragma once

#include <map>
#include <optional>
#include <string_view>

#include "src/policy/placement.hpp"
#include "src/sim/latency.hpp"

namespace windlass {

/// ms = base + per_unit * x + per_second_unit * y.
struct Polynomial {
  double base, first, second;
};

/// Fitted for one model at one tensor-parallel degree. Source: DistServe's artifact (A100-80G), four digits.
struct PolynomialProfile {
  Polynomial prefill;       ///< x = prompt tokens, y = sum of tokens²
  Polynomial small_decode;  ///< x = sum of (context + 1), y = sequences; below 95 sequences
  Polynomial large_decode;  ///< the same from 95 sequences on
};

/// What comes on top of the polynomials, in ms. The first stage dispatches: base + per token of context.
struct StageOverhead {
  double dispatch = 2, dispatch_per_token = 1e-4;
  double prefill_per_stage = 1;  ///< a prefill step of a pipeline of n stages takes n times this longer, on each stage
};

class PolynomialLatency final : public LatencyModel {
 public:
  PolynomialLatency(PolynomialProfile const& profile, int stages, StageOverhead overhead = {});
  Microseconds step_us(StepWork const& work, int stage) const override;

 private:
  PolynomialProfile profile_;
  int stages_;
  StageOverhead overhead_;
};

enum class ProfiledModel : std::uint8_t { opt_13b, opt_66b };
enum class ProfiledEngine : std::uint8_t { distserve, vllm };

/// Nothing where that degree was not measured.
std::optional<PolynomialProfile> polynomial_profile(ProfiledEngine engine, ProfiledModel model, int tp);

/// Tokens of KV that fit beside the weights on A100-80G; nothing where the model does not run.
std::optional<std::int64_t> kv_capacity_tokens(ProfiledModel model, ParallelDegree degree);

}  // namespace windlass
