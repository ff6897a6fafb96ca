#include "src/core/checksum.hpp"

#include <array>
#include <cstring>

namespace windlass {
namespace {

constexpr std::size_t lanes = 8, stripe_bytes = lanes * sizeof(std::uint64_t);
constexpr std::size_t stripes_per_round = 16;      ///< after which the lanes are scrambled
constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio

using Lanes = std::array<std::uint64_t, lanes>;

std::uint64_t mix(std::uint64_t x) {  // a bijection of 64 bits in which each input bit reaches every output bit
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  return x ^ (x >> 32);
}

/// 32 x 32 -> 64 bit products, which every vector unit has. The word itself is added to the neighbouring lane, so that
/// a product with zero loses nothing.
void add_stripe(Lanes& sums, std::byte const* stripe, std::uint64_t key) {
  std::uint64_t words[lanes];
  std::memcpy(words, stripe, stripe_bytes);
  for (std::size_t i = 0; i < lanes; ++i) {
    std::uint64_t const keyed = words[i] ^ (key + odd * i);
    sums[i] += (keyed & 0xffffffff) * (keyed >> 32);
    sums[i ^ 1] += words[i];
  }
}

void scramble(Lanes& sums) {
  for (std::uint64_t& sum : sums) sum = (sum ^ (sum >> 47)) * 0x9e3779b1;
}

}  // namespace

std::uint64_t checksum(std::span<std::byte const> bytes, std::uint64_t salt) {
  Lanes sums;
  for (std::size_t i = 0; i < lanes; ++i) sums[i] = mix(salt + odd * (i + 1));
  std::size_t const stripes = bytes.size() / stripe_bytes;
  for (std::size_t i = 0; i < stripes; ++i) {
    add_stripe(sums, bytes.data() + i * stripe_bytes, odd * (i % stripes_per_round + 1));
    if (i % stripes_per_round + 1 == stripes_per_round) scramble(sums);
  }
  std::byte last[stripe_bytes] = {};
  std::size_t const rest = bytes.size() % stripe_bytes;
  if (rest > 0) std::memcpy(last, bytes.data() + stripes * stripe_bytes, rest);
  add_stripe(sums, last, mix(bytes.size()));
  std::uint64_t result = mix(salt ^ bytes.size());
  for (std::uint64_t const sum : sums) result = mix(result * odd + sum);
  return result;
}

}  // namespace windlass
