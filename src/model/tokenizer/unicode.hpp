/// UTF-8, one character at a time, and the few character classes that need no table.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace windlass {

struct Character {
  char32_t code = 0;
  int bytes = 0;  ///< its length in UTF-8, 1 to 4
};

/// The byte offset of the first byte that does not belong to a valid character; text.size() if all is valid.
std::size_t first_invalid_utf8(std::string_view text);

/// The first character of a text that is not empty and is valid UTF-8.
Character first_character(std::string_view text);

/// Bytes that the character beginning with `lead` should have: 1 to 4; 0 if no character begins so.
int utf8_length(unsigned char lead);

void append_utf8(std::string& out, char32_t code);

/// Unicode's White_Space.
bool is_space(char32_t code);

/// Whether the byte is 10xxxxxx: inside a character.
inline bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// How many bytes of `text`, which is not empty, form the longest beginning of a valid character, and whether it is
/// complete. 0 bytes: the first byte can begin none.
struct CharacterPrefix {
  int bytes = 0;
  bool complete = false;
};
CharacterPrefix character_prefix(std::string_view text);

/// Whether NFC leaves the character alone and never joins it to one before it. False for many that it could be said of:
/// only scripts that fill texts are listed. (Unicode: NFC_Quick_Check = Yes and combining class 0.)
bool is_nfc_inert(char32_t code);

}  // namespace windlass
