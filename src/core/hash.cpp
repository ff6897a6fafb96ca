#include "src/core/hash.hpp"

#include <cstdio>
#include <cstring>

namespace windlass {
namespace {

constexpr std::uint64_t c1 = 0x87c37b91114253d5ULL, c2 = 0x4cf5ad432745937fULL;

std::uint64_t rotate(std::uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

std::uint64_t finish(std::uint64_t k) {
  k = (k ^ (k >> 33)) * 0xff51afd7ed558ccdULL;
  k = (k ^ (k >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return k ^ (k >> 33);
}

void mix(std::uint64_t k1, std::uint64_t k2, Hash128& h) {
  h.low ^= rotate(k1 * c1, 31) * c2;
  h.low = (rotate(h.low, 27) + h.high) * 5 + 0x52dce729;
  h.high ^= rotate(k2 * c2, 33) * c1;
  h.high = (rotate(h.high, 31) + h.low) * 5 + 0x38495ab5;
}

}  // namespace

Hash128 hash_bytes(std::span<std::byte const> bytes, Hash128 seed) {
  Hash128 h = seed;
  std::size_t at = 0;
  for (; at + 16 <= bytes.size(); at += 16) {
    std::uint64_t k[2];
    std::memcpy(k, bytes.data() + at, 16);
    mix(k[0], k[1], h);
  }
  if (at < bytes.size()) {
    std::uint64_t k[2] = {0, 0};
    std::memcpy(k, bytes.data() + at, bytes.size() - at);
    mix(k[0], k[1], h);
  }
  h.low ^= bytes.size();
  h.high ^= bytes.size();
  h.low += h.high;
  h.high += h.low;
  h.low = finish(h.low);
  h.high = finish(h.high);
  h.low += h.high;
  h.high += h.low;
  return h;
}

Hash128 hash_text(std::string_view text, Hash128 seed) { return hash_bytes(std::as_bytes(std::span(text)), seed); }

std::string to_hex(Hash128 hash) {
  char digits[33];
  std::snprintf(digits, sizeof digits, "%016llx%016llx", static_cast<unsigned long long>(hash.high),
                static_cast<unsigned long long>(hash.low));
  return digits;
}

}  // namespace windlass
