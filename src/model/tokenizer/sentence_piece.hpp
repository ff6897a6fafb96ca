/// What SentencePiece's vocabularies have in common: U+2581 for a space, <0xNN> for a byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace windlass {

constexpr std::string_view space_mark = "\xE2\x96\x81";  ///< U+2581

/// The byte that "<0x0A>" stands for.
std::optional<unsigned char> byte_of_token(std::string_view text);
std::string with_spaces_for_marks(std::string_view text);
/// Whether a space mark follows something else in the text: then words cannot be cut out before it.
bool has_inner_mark(std::string_view text);

}  // namespace windlass
