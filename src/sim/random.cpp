#include "src/sim/random.hpp"

#include <cmath>
#include <numbers>

namespace windlass {
namespace {

std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return mix(mix(mix(seed) ^ stream) ^ index);
}

double RandomStream::uniform() { return (double(random_bits(seed_, stream_, index_++) >> 11) + 0.5) * 0x1.0p-53; }

std::uint64_t RandomStream::below(std::uint64_t limit) { return std::uint64_t(uniform() * double(limit)); }

double RandomStream::exponential(double mean) { return -mean * std::log(uniform()); }

double RandomStream::normal() {
  double const radius = std::sqrt(-2 * std::log(uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

double RandomStream::gamma(double shape, double scale) {
  if (shape < 1) return gamma(shape + 1, scale) * std::pow(uniform(), 1 / shape);
  double const d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    double const x = normal(), v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v * scale;
  }
}

double RandomStream::log_normal(double mean, double deviation) {
  double const variance = std::log1p(deviation * deviation / (mean * mean));
  return std::exp(std::log(mean) - variance / 2 + std::sqrt(variance) * normal());
}

}  // namespace windlass
