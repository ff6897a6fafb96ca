#include "src/core/checksum.hpp"

#include <cstring>

#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr std::size_t lanes = RunningChecksum::lanes, stripe_bytes = RunningChecksum::stripe_bytes;
constexpr std::size_t stripes_per_round = RunningChecksum::piece_bytes / stripe_bytes;  ///< then lanes are scrambled
constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;                                       // 2^64 / golden ratio

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

RunningChecksum::RunningChecksum(std::uint64_t salt) : salt_(salt) {
  for (std::size_t i = 0; i < lanes; ++i) sums_[i] = mix(salt + odd * (i + 1));
}

void RunningChecksum::add(std::span<std::byte const> piece) {
  ensure(bytes_ % piece_bytes == 0, "a piece of a checksum follows one that is not whole");
  Lanes sums = sums_;  // so that they stay in registers
  std::size_t const stripes = piece.size() / stripe_bytes;
  for (std::size_t i = 0; i < stripes; ++i) {
    add_stripe(sums, piece.data() + i * stripe_bytes, odd * (i % stripes_per_round + 1));
    if (i % stripes_per_round + 1 == stripes_per_round) scramble(sums);
  }
  sums_ = sums;
  if (std::size_t const rest = piece.size() % stripe_bytes; rest > 0)
    std::memcpy(rest_.data(), piece.data() + stripes * stripe_bytes, rest);
  bytes_ += piece.size();
}

std::uint64_t RunningChecksum::result() const {
  Lanes sums = sums_;
  add_stripe(sums, rest_.data(), mix(bytes_));
  std::uint64_t result = mix(salt_ ^ bytes_);
  for (std::uint64_t const sum : sums) result = mix(result * odd + sum);
  return result;
}

std::uint64_t checksum(std::span<std::byte const> bytes, std::uint64_t salt) {
  RunningChecksum running(salt);
  running.add(bytes);
  return running.result();
}

}  // namespace windlass
