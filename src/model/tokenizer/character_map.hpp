/// SentencePiece's compiled normalisation rules ("precompiled_charsmap").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

/// Replaces the longest match at each place of a text. Layout of the blob: uint32 little endian, bytes of the trie; the
/// trie, a double array of uint32 units; then replacement texts, each ended by a NUL.
class CharacterMap {
 public:
  /// Throws InputError where the blob's sizes do not fit.
  explicit CharacterMap(std::string_view blob);
  std::string apply(std::string_view text) const;

 private:
  struct Found {
    std::size_t bytes = 0;  ///< 0: no rule
    std::size_t replacement = 0;
  };
  Found longest(std::string_view text) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace windlass
