#include "src/model/architecture/rope_scaling.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

using Frequencies = std::vector<double>;  ///< each a float32 value

/// theta^(2 i / dim), rounded to float32 as the base of all inverse frequencies is.
float position_frequency(RopeParameters const& p, int dim, int i) {
  float const exponent = float(2 * i) / float(dim);
  return float(std::pow(p.theta, double(exponent)));
}

Frequencies unscaled(RopeParameters const& p, int dim) {
  Frequencies out;
  for (int i = 0; i < dim / 2; ++i) out.push_back(1.0f / position_frequency(p, dim, i));
  return out;
}

Frequencies linear(RopeParameters const& p, int dim) {
  Frequencies out = unscaled(p, dim);
  for (double& frequency : out) frequency = float(frequency) / float(p.factor);
  return out;
}

/// Long wavelengths are stretched by `factor`, short ones kept, those between blended.
Frequencies llama3(RopeParameters const& p, int dim) {
  double const original = p.original_max_positions;
  float const longest_kept = float(original / p.high_freq_factor),
              shortest_scaled = float(original / p.low_freq_factor);
  Frequencies out = unscaled(p, dim);
  for (double& value : out) {
    auto const frequency = float(value);
    float const wavelength = float(2 * std::numbers::pi) / frequency;
    float const scaled = frequency / float(p.factor);
    if (wavelength > shortest_scaled) {
      value = scaled;
    } else if (wavelength >= longest_kept) {
      float const smooth =
          (float(original) / wavelength - float(p.low_freq_factor)) / float(p.high_freq_factor - p.low_freq_factor);
      value = (1.0f - smooth) * scaled + smooth * frequency;
    }
  }
  return out;
}

/// The dimension that makes `rotations` turns over the original context.
double yarn_dimension(RopeParameters const& p, int dim, double rotations) {
  return dim * std::log(p.original_max_positions / (rotations * 2 * std::numbers::pi)) / (2 * std::log(p.theta));
}

Frequencies yarn(RopeParameters const& p, int dim) {
  double low = yarn_dimension(p, dim, p.beta_fast), high = yarn_dimension(p, dim, p.beta_slow);
  if (p.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, double(dim - 1));
  if (low == high) high += 0.001;
  Frequencies out;
  for (int i = 0; i < dim / 2; ++i) {
    float const ramp = std::clamp((float(i) - float(low)) / float(high - low), 0.0f, 1.0f);
    float const keep = 1.0f - ramp, position = position_frequency(p, dim, i);
    out.push_back(1.0f / (float(p.factor) * position) * (1.0f - keep) + 1.0f / position * keep);
  }
  return out;
}

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double yarn_attention_factor(RopeParameters const& p) {
  if (p.attention_factor) return *p.attention_factor;
  if (p.mscale != 0 && p.mscale_all_dim != 0)
    return yarn_magnitude(p.factor, p.mscale) / yarn_magnitude(p.factor, p.mscale_all_dim);
  return yarn_magnitude(p.factor, 1);
}

Frequencies longrope(RopeParameters const& p, int dim, std::vector<double> const& factors) {
  Frequencies out;
  for (int i = 0; i < dim / 2; ++i)
    out.push_back(1.0f / (float(factors[std::size_t(i)]) * position_frequency(p, dim, i)));
  return out;
}

double longrope_attention_factor(RopeParameters const& p) {
  if (p.attention_factor) return *p.attention_factor;
  return p.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(p.factor) / std::log(double(p.original_max_positions)));
}

void check_parameters(RopeParameters const& p, int dim, std::string const& source) {
  auto const fail = [&](auto const&... parts) { throw InputError(text(source, ": rope: ", parts...)); };
  if (!(p.theta > 1)) fail("rope_theta is ", p.theta, ", not above 1");
  if (dim < 2 || dim > p.head_dim || dim % 2 != 0)
    fail("partial_rotary_factor ", p.partial_rotary_factor, " makes ", dim, " of ", p.head_dim,
         " dimensions rotate; an even number is needed");
  if (p.scaling == RopeScaling::none) return;
  if (!(p.factor > 0)) fail("factor is ", p.factor, ", not above 0");
  if (p.scaling == RopeScaling::linear) return;
  if (p.original_max_positions < 2) fail("original_max_position_embeddings is missing");
  if (p.scaling == RopeScaling::llama3 && !(p.high_freq_factor > p.low_freq_factor && p.low_freq_factor > 0))
    fail("low_freq_factor and high_freq_factor are not ascending and above 0");
  if (p.scaling == RopeScaling::yarn && !(p.beta_fast > 0 && p.beta_slow > 0))
    fail("beta_fast or beta_slow is not above 0");
  auto const half = std::size_t(dim / 2);
  if (p.scaling == RopeScaling::longrope && (p.short_factor.size() != half || p.long_factor.size() != half))
    fail("short_factor and long_factor have ", p.short_factor.size(), " and ", p.long_factor.size(), " elements, not ",
         half);
}

}  // namespace

RopeSpec make_rope(RopeParameters const& p, std::string const& source) {
  int const dim = int(p.head_dim * p.partial_rotary_factor);
  check_parameters(p, dim, source);
  RopeSpec rope{.rotary_dim = dim};
  switch (p.scaling) {
    case RopeScaling::none:
      rope.inverse_frequency = unscaled(p, dim);
      break;
    case RopeScaling::linear:
      rope.inverse_frequency = linear(p, dim);
      break;
    case RopeScaling::llama3:
      rope.inverse_frequency = llama3(p, dim);
      break;
    case RopeScaling::yarn:
      rope.inverse_frequency = yarn(p, dim);
      rope.attention_factor = yarn_attention_factor(p);
      break;
    case RopeScaling::longrope:
      rope.inverse_frequency = longrope(p, dim, p.short_factor);
      rope.long_inverse_frequency = longrope(p, dim, p.long_factor);
      rope.long_from = p.original_max_positions;
      rope.attention_factor = longrope_attention_factor(p);
      break;
  }
  return rope;
}

int longest_positions(RopeParameters const& p) {
  double stretched = p.max_positions;
  if (p.scaling == RopeScaling::linear) stretched = p.max_positions * p.factor;
  if (p.scaling == RopeScaling::yarn) stretched = p.original_max_positions * p.factor;
  return int(std::min(std::max<double>(p.max_positions, stretched), double(1 << 30)));
}

}  // namespace windlass
