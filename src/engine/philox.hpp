/// A counter-based random generator: the same key and counter always give the same bits, in any order of calls.
#pragma once

#include <array>
#include <cstdint>

namespace windlass {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Philox4x32 with ten rounds. Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
constexpr PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const product0 = std::uint64_t{0xD2511F53} * counter[0];
    std::uint64_t const product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {std::uint32_t(product1 >> 32) ^ counter[1] ^ key[0], std::uint32_t(product1),
               std::uint32_t(product0 >> 32) ^ counter[3] ^ key[1], std::uint32_t(product0)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

/// Which draw: one per token.
struct DrawId {
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;           ///< index among the request's n choices
  std::uint64_t output_position = 0;  ///< 0: the first generated token
};

/// Uniform in [0, 1), a multiple of 2^-53.
constexpr double uniform(DrawId const& draw) {
  PhiloxCounter const bits =
      philox({std::uint32_t(draw.output_position), std::uint32_t(draw.output_position >> 32), draw.choice, 0},
             {std::uint32_t(draw.seed), std::uint32_t(draw.seed >> 32)});
  return double((std::uint64_t{bits[1]} << 32 | bits[0]) >> 11) * 0x1p-53;
}

}  // namespace windlass
