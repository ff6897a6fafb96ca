/// A tokenizer for tests: one token per byte, and two special tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/model/tokenizer.hpp"

namespace windlass {

class FakeTokenizer final : public Tokenizer {
 public:
  static constexpr TokenId bos{256}, eos{257};

  FakeTokenizer() {
    for (int byte = 0; byte < 256; ++byte) bytes_.emplace_back(1, char(byte));
    bytes_.insert(bytes_.end(), {"<s>", "</s>"});
  }
  std::vector<TokenId> encode(std::string_view text, AddSpecial add) const override {
    std::vector<TokenId> ids;
    if (add == AddSpecial::yes) ids.push_back(bos);
    for (char const byte : text) ids.push_back(TokenId(static_cast<unsigned char>(byte)));
    return ids;
  }
  std::string_view bytes(TokenId token) const override {
    return number(token) < bytes_.size() ? std::string_view(bytes_[number(token)]) : std::string_view();
  }
  bool is_special(TokenId token) const override { return token == bos || token == eos; }
  int vocab() const override { return int(bytes_.size()); }
  std::vector<TokenId> end_tokens() const override { return {eos}; }
  std::string_view bos_text() const override { return bytes_[256]; }
  std::string_view eos_text() const override { return bytes_[257]; }
  bool drops_first_space() const override { return false; }

 private:
  std::vector<std::string> bytes_;
};

}  // namespace windlass
