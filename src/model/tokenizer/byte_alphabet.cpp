#include "src/model/tokenizer/byte_alphabet.hpp"

#include <array>
#include <cstdint>

#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

namespace {
constexpr int alphabet_end = 256 + 68;  ///< 68 bytes are not printable in Latin-1 and are numbered from 256
constexpr std::int16_t no_byte = -1;

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<std::uint16_t, 256> character{};
  std::array<std::int16_t, alphabet_end> byte{};
};

constexpr Alphabet make_alphabet() {
  Alphabet a;
  a.byte.fill(no_byte);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    int const character = stands_for_itself(byte) ? byte : next++;
    a.character[std::size_t(byte)] = std::uint16_t(character);
    a.byte[std::size_t(character)] = std::int16_t(byte);
  }
  return a;
}

constexpr Alphabet alphabet = make_alphabet();
}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char const c : bytes) append_utf8(out, alphabet.character[static_cast<unsigned char>(c)]);
  return out;
}

bool append_from_byte_alphabet(std::string& out, std::string_view text) {
  std::size_t const before = out.size();
  while (!text.empty()) {
    Character const next = first_character(text);
    std::int16_t const byte = next.code < char32_t(alphabet_end) ? alphabet.byte[next.code] : no_byte;
    if (byte == no_byte) {
      out.resize(before);
      return false;
    }
    out += char(byte);
    text.remove_prefix(std::size_t(next.bytes));
  }
  return true;
}

}  // namespace windlass
