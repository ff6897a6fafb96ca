/// GPT-2's alphabet: every byte as one printable character, so that vocabularies can be written as text.
#pragma once

#include <string>
#include <string_view>

namespace windlass {

std::string to_byte_alphabet(std::string_view bytes);

/// Appends the bytes that `text` stands for; false (and nothing appended) where it has a character outside the
/// alphabet.
bool append_from_byte_alphabet(std::string& out, std::string_view text);

}  // namespace windlass
