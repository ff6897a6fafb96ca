/// Random numbers that depend on (seed, stream, index) alone: the same on every machine, in every order of use.
#pragma once

#include <cstdint>

namespace windlass {

/// A well mixed 64-bit value of the three numbers (two rounds of SplitMix64's finaliser; Steele et al., 2014).
std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);

/// Draws one after the other from one stream.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  double uniform();                                  ///< in (0, 1)
  std::uint64_t below(std::uint64_t limit);          ///< in [0, limit), limit >= 1
  double exponential(double mean);                   ///< mean > 0
  double normal();                                   ///< mean 0, deviation 1
  double gamma(double shape, double scale);          ///< shape > 0 (Marsaglia and Tsang, 2000)
  double log_normal(double mean, double deviation);  ///< of the values themselves, not of their logarithms

 private:
  std::uint64_t seed_, stream_, index_ = 0;
};

}  // namespace windlass
