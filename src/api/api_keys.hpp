/// Who may use the server.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/api/user_limits.hpp"

namespace windlass {

using KeyHash = std::array<std::uint8_t, 32>;  ///< SHA-256 of a key

KeyHash hash_key(std::string_view key);

/// A new key: 256 random bits in hexadecimal behind "wl-". Throws std::runtime_error where the system has no
/// randomness.
std::string random_key();

struct ApiUser {
  std::string name;
  KeyHash key{};
  UserLimits limits;
};

/// Immutable; safe from any thread.
class ApiKeys {
 public:
  explicit ApiKeys(std::vector<ApiUser> users) : users_(std::move(users)) {}

  /// The user whose key the Authorization header has ("Bearer KEY"); null where it is nobody's. Hashes are compared in
  /// constant time, and all of them: how long it takes tells nothing.
  ApiUser const* find(std::string_view authorization) const;

 private:
  std::vector<ApiUser> users_;
};

}  // namespace windlass
