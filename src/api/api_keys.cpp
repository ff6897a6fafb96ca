#include "src/api/api_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <cctype>
#include <stdexcept>

#include "src/core/error.hpp"

namespace windlass {
namespace {

/// "KEY" of "Bearer KEY"; empty where the scheme is another.
std::string_view bearer_key(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() < scheme.size()) return {};
  for (std::size_t i = 0; i < scheme.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(authorization[i])) != scheme[i]) return {};
  authorization.remove_prefix(scheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

}  // namespace

KeyHash hash_key(std::string_view key) {
  KeyHash hash{};
  unsigned length = 0;
  int const done = EVP_Digest(key.data(), key.size(), hash.data(), &length, EVP_sha256(), nullptr);
  ensure(done == 1 && length == hash.size(), "SHA-256 failed");
  return hash;
}

std::string random_key() {
  std::array<std::uint8_t, 32> bits{};
  if (RAND_bytes(bits.data(), int(bits.size())) != 1)
    throw std::runtime_error("no random bits for a key; give keys with --api-key-file");
  constexpr char const* digits = "0123456789abcdef";
  std::string key = "wl-";
  for (std::uint8_t const byte : bits) {
    key += digits[byte >> 4];
    key += digits[byte & 15];
  }
  return key;
}

ApiUser const* ApiKeys::find(std::string_view authorization) const {
  KeyHash const given = hash_key(bearer_key(authorization));
  ApiUser const* found = nullptr;
  for (ApiUser const& user : users_)
    if (CRYPTO_memcmp(given.data(), user.key.data(), given.size()) == 0) found = &user;
  return found;
}

}  // namespace windlass
