#include "src/model/tokenizer/pipeline.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

WordEncoder::WordEncoder(WordModel const& model, std::size_t text_bytes)
    : model_(model), slots_(std::bit_ceil(std::clamp<std::size_t>(text_bytes / 8, 16, 4096))) {}

void WordEncoder::encode(std::string_view word, std::vector<TokenNumber>& out) {
  if (word.size() > max_word_bytes) return model_.encode(word, scratch_, out);
  std::uint64_t const hash = std::hash<std::string_view>{}(word);
  Slot& slot = slots_[hash & (slots_.size() - 1)];
  std::size_t const before = out.size();
  if (slot.hash == hash && slot.bytes == word.size() && std::memcmp(slot.word, word.data(), word.size()) == 0) {
    out.resize(before + slot.tokens);
    std::copy_n(out.begin() + slot.first, slot.tokens, out.begin() + std::ptrdiff_t(before));
    return;
  }
  model_.encode(word, scratch_, out);
  if (before > std::numeric_limits<std::uint32_t>::max()) return;
  slot.hash = hash;
  slot.first = std::uint32_t(before);
  slot.tokens = std::uint16_t(out.size() - before);
  slot.bytes = std::uint8_t(word.size());
  std::memcpy(slot.word, word.data(), word.size());
}

namespace {
constexpr std::size_t max_text_bytes = std::size_t{1} << 31;  ///< offsets inside a word have 32 bits

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline) : p_(std::move(pipeline)) {}

  std::vector<TokenId> encode(std::string_view text, AddSpecial add) const override {
    check_text(text);
    std::vector<TokenNumber> numbers;
    numbers.reserve(text.size() / 3 + 8);
    Run run{WordEncoder(*p_.model, text.size()), numbers};
    for (AddedTokens::Part const& part : p_.added.divide(text)) {
      TextPlace const place = part.text.data() == text.data() ? TextPlace::start : TextPlace::inside;
      if (part.token != no_token) {
        numbers.push_back(part.token);
      } else if (p_.normalizer.empty()) {
        encode_normalized(part.text, place, run);
      } else {
        encode_normalized(p_.normalizer.apply(part.text), place, run);
      }
    }
    return around(numbers, add);
  }

  std::string_view bytes(TokenId token) const override {
    return number(token) < p_.token_bytes.size() ? p_.token_bytes[number(token)] : std::string_view{};
  }
  bool is_special(TokenId token) const override {
    return number(token) < p_.special.size() && p_.special[number(token)];
  }
  int vocab() const override { return int(p_.token_bytes.size()); }
  std::vector<TokenId> end_tokens() const override { return p_.end_tokens; }
  std::string_view bos_text() const override { return p_.bos_text; }
  std::string_view eos_text() const override { return p_.eos_text; }
  bool drops_first_space() const override { return p_.first_space == FirstSpace::drop; }

 private:
  struct Run {
    WordEncoder encoder;
    std::vector<TokenNumber>& out;
  };

  static void check_text(std::string_view text) {
    if (text.size() >= max_text_bytes)
      throw InputError(windlass::text("a text of ", text.size(), " bytes is longer than the tokenizer takes (",
                                      max_text_bytes, "); send it in parts"));
    if (std::size_t const bad = first_invalid_utf8(text); bad != text.size())
      throw InputError(windlass::text("the text is not valid UTF-8 at byte ", bad, "; convert it to UTF-8"));
  }

  void encode_normalized(std::string_view text, TextPlace place, Run& run) const {
    if (p_.added_normalized.empty()) return encode_words(text, place, run);
    for (AddedTokens::Part const& part : p_.added_normalized.divide(text)) {
      if (part.token != no_token) {
        run.out.push_back(part.token);
      } else {
        encode_words(part.text, part.text.data() == text.data() ? place : TextPlace::inside, run);
      }
    }
  }

  void encode_words(std::string_view text, TextPlace place, Run& run) const {
    p_.pre_tokenizer.split(text, place, [&run](std::string_view word) { run.encoder.encode(word, run.out); });
  }

  std::vector<TokenId> around(std::vector<TokenNumber> const& numbers, AddSpecial add) const {
    std::vector<TokenId> out;
    out.reserve(numbers.size() + p_.prefix.size() + p_.suffix.size());
    if (add == AddSpecial::yes) out = p_.prefix;
    for (TokenNumber const token : numbers) out.push_back(TokenId{token});
    if (add == AddSpecial::yes) out.insert(out.end(), p_.suffix.begin(), p_.suffix.end());
    return out;
  }

  Pipeline p_;
};
}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(Pipeline pipeline) {
  ensure(pipeline.model != nullptr, "a tokenizer has a model of words");
  std::size_t const vocab = pipeline.token_bytes.size();
  pipeline.special.resize(vocab);
  for (auto const* ids : {&pipeline.prefix, &pipeline.suffix, &pipeline.end_tokens})
    for (TokenId const id : *ids)
      if (number(id) >= vocab)
        throw InputError(text("tokenizer: special token id ", number(id), " is outside the vocabulary of ", vocab));
  return std::make_unique<PipelineTokenizer>(std::move(pipeline));
}

}  // namespace windlass
