/// Tokenizers: an input that begins like JSON is a tokenizer.json, one that begins like GGUF a file with a vocabulary,
/// anything else a text for three tokenizers of inputs/reference.
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/error.hpp"
#include "src/model/gguf.hpp"
#include "src/model/tokenizer.hpp"
#include "src/model/tokenizer/hugging_face_parts.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace {
using namespace windlass;

std::string streamed(Tokenizer const& tokenizer, std::vector<TokenId> const& tokens) {
  Detokenizer detokenizer(tokenizer, SpecialText::keep);
  std::string out;
  for (TokenId const token : tokens) {
    std::string const part = detokenizer.add(token);
    ensure(first_invalid_utf8(part) == part.size(), "half a character was streamed");
    out += part;
  }
  return out + detokenizer.finish();
}

/// Encodes and decodes; what comes back has no byte that is not UTF-8, whole or streamed.
std::string there_and_back(Tokenizer const& tokenizer, std::string_view text) {
  std::vector<TokenId> const tokens = tokenizer.encode(text, AddSpecial::yes);
  std::string const back = decode(tokenizer, tokens, SpecialText::keep);
  ensure(streamed(tokenizer, tokens) == back, "streamed text differs");
  return decode(tokenizer, tokenizer.encode(text, AddSpecial::no), SpecialText::keep);
}

constexpr std::array<std::string_view, 5> texts{
    "", "a", "Hello  world's 12345 times!\n\n\tif (x<y) { a+=b; }  ",
    "<s>[INST] \xC3\x9C"
    "ber na\xC3\xAFve \xE4\xB8\xAD\xE6\x96\x87 e\xCC\x81 \xF0\x9F\x98\x80</s> <unk>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

void try_all(Tokenizer const& tokenizer) {
  for (std::string_view const text : texts) {
    try {
      there_and_back(tokenizer, text);
    } catch (InputError const&) {
    }
  }
  std::vector<TokenId> every;
  for (int id = 0; id < std::min(tokenizer.vocab(), 2000); ++id) every.push_back(TokenId(std::uint32_t(id)));
  ensure(streamed(tokenizer, every) == decode(tokenizer, every, SpecialText::keep), "streamed text differs");
}

void try_tokenizer_json(std::string_view text) {
  boost::json::error_code error;
  boost::json::value const tokenizer = boost::json::parse(text, error);
  boost::json::value const config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"add_bos_token", true}};
  if (!error) try_all(*make_tokenizer(read_tokenizer_json({tokenizer, "fuzz"}, {config, "fuzz"})));
}

void try_gguf(std::string_view bytes) {
  std::vector<std::byte> content(bytes.size());
  if (!bytes.empty()) std::memcpy(content.data(), bytes.data(), bytes.size());
  GgufFile const file(FileBytes::from_memory("fuzz.gguf", std::move(content)));
  try_all(*tokenizer_from_gguf(file.metadata()));
}

void try_text(std::string_view text) {
  static std::unique_ptr<Tokenizer> const llama = tokenizer_from_folder("inputs/reference/llama3-rope-tied-bf16");
  static std::unique_ptr<Tokenizer> const qwen = tokenizer_from_folder("inputs/reference/qwen2-sharded");
  static std::unique_ptr<Tokenizer> const mistral = tokenizer_from_folder("inputs/reference/mistral-window128");
  ensure(there_and_back(*llama, text) == text, "a byte-level tokenizer lost text");
  there_and_back(*qwen, text);
  there_and_back(*mistral, text);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const input(reinterpret_cast<char const*>(data), size);
  try {
    if (input.starts_with("{")) {
      try_tokenizer_json(input);
    } else if (input.starts_with("GGUF")) {
      try_gguf(input);
    } else {
      try_text(input);
    }
  } catch (InputError const&) {
  }
  return 0;
}
