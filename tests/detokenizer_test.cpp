/// From tokens back to text as it streams, normal forms, and texts that make careless tokenizers slow.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/core/error.hpp"
#include "src/model/tokenizer.hpp"
#include "src/model/tokenizer/normalizer.hpp"
#include "src/model/tokenizer/unicode.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

/// FakeTokenizer's bytes; its first words have a space that is dropped, as SentencePiece's.
class SpacedTokenizer final : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, AddSpecial add) const override { return bytes_.encode(text, add); }
  std::string_view bytes(TokenId token) const override { return bytes_.bytes(token); }
  bool is_special(TokenId token) const override { return bytes_.is_special(token); }
  int vocab() const override { return bytes_.vocab(); }
  std::vector<TokenId> end_tokens() const override { return bytes_.end_tokens(); }
  std::string_view bos_text() const override { return bytes_.bos_text(); }
  std::string_view eos_text() const override { return bytes_.eos_text(); }
  bool drops_first_space() const override { return true; }

 private:
  FakeTokenizer bytes_;
};

/// What each byte of `bytes` completes, and at the end what finish() adds.
std::vector<std::string> parts_of(std::string_view bytes) {
  FakeTokenizer const tokenizer;
  Detokenizer detokenizer(tokenizer, SpecialText::keep);
  std::vector<std::string> parts;
  for (TokenId const token : tokenizer.encode(bytes, AddSpecial::no)) parts.push_back(detokenizer.add(token));
  parts.push_back(detokenizer.finish());
  return parts;
}

using Parts = std::vector<std::string>;
constexpr char const* replaced = "\xEF\xBF\xBD";

TEST(Detokenizer, WaitsForTheLastByteOfACharacter) {
  EXPECT_EQ(parts_of("\xC3\xA9"), (Parts{"", "\xC3\xA9", ""}));
  EXPECT_EQ(parts_of("\xE4\xB8\xAD"), (Parts{"", "", "\xE4\xB8\xAD", ""}));
  EXPECT_EQ(parts_of("\xF0\x9F\x98\x80"), (Parts{"", "", "", "\xF0\x9F\x98\x80", ""}));
}

TEST(Detokenizer, ReplacesACharacterThatNeverEnds) {
  EXPECT_EQ(parts_of("\xE4\xB8"), (Parts{"", "", replaced}));
  EXPECT_EQ(parts_of("\xE4\xB8"
                     "a"),
            (Parts{"", "", std::string(replaced) + "a", ""}));
  EXPECT_EQ(parts_of("\xC3\xC3\xA9"), (Parts{"", replaced, "\xC3\xA9", ""}));
}

TEST(Detokenizer, ReplacesBytesThatBeginNothing) {
  EXPECT_EQ(parts_of("\x80"), (Parts{replaced, ""}));
  EXPECT_EQ(parts_of("\xFF"), (Parts{replaced, ""}));
  EXPECT_EQ(parts_of("\xC0\xAF"), (Parts{replaced, replaced, ""}));
  EXPECT_EQ(parts_of("\xED\xA0"), (Parts{"", std::string(replaced) + replaced, ""}));  // a surrogate
}

TEST(Detokenizer, SkipsSpecialTokensInsideACharacter) {
  FakeTokenizer const tokenizer;
  Detokenizer detokenizer(tokenizer, SpecialText::skip);

  EXPECT_EQ(detokenizer.add(FakeTokenizer::bos), "");
  EXPECT_EQ(detokenizer.add(TokenId{0xC3}), "");
  EXPECT_EQ(detokenizer.add(FakeTokenizer::eos), "");
  EXPECT_EQ(detokenizer.add(TokenId{0xA9}), "\xC3\xA9");
}

TEST(Detokenizer, KeepsSpecialTokensWhereAsked) {
  FakeTokenizer const tokenizer;

  EXPECT_EQ(decode(tokenizer, {FakeTokenizer::bos, TokenId{'a'}, FakeTokenizer::eos}, SpecialText::keep), "<s>a</s>");
  EXPECT_EQ(decode(tokenizer, {FakeTokenizer::bos, TokenId{'a'}, FakeTokenizer::eos}, SpecialText::skip), "a");
}

TEST(Detokenizer, IgnoresIdsOutsideTheVocabulary) {
  EXPECT_EQ(decode(FakeTokenizer(), {TokenId{'a'}, TokenId{99999}, TokenId{'b'}}, SpecialText::keep), "ab");
}

TEST(Detokenizer, DropsTheSpaceBeforeTheFirstWordOnly) {
  SpacedTokenizer const tokenizer;

  EXPECT_EQ(decode(tokenizer, tokenizer.encode(" a b", AddSpecial::no), SpecialText::keep), "a b");
  EXPECT_EQ(decode(tokenizer, tokenizer.encode("  a", AddSpecial::no), SpecialText::keep), " a");
  EXPECT_EQ(decode(tokenizer, tokenizer.encode(" a", AddSpecial::yes), SpecialText::skip), "a");
}

TEST(Detokenizer, BeginsAnewAfterFinish) {
  SpacedTokenizer const tokenizer;
  Detokenizer detokenizer(tokenizer, SpecialText::keep);

  detokenizer.add(TokenId{0xE4});
  EXPECT_EQ(detokenizer.finish(), replaced);
  EXPECT_EQ(detokenizer.add(TokenId{' '}), "");
  EXPECT_EQ(detokenizer.add(TokenId{'x'}), "x");
  EXPECT_EQ(detokenizer.finish(), "");
}

std::string const reference = WINDLASS_SOURCE_DIR "/inputs/reference/";

TEST(SentencePieceTokens, FallBackToBytesAndStreamThemWhole) {
  auto const tokenizer = tokenizer_from_folder(reference + "mistral-window128");
  std::string const text = "a \xF0\x9F\xA6\x99 \xE9\xBE\x8D";  // neither the llama nor the dragon is a token

  std::vector<TokenId> const tokens = tokenizer->encode(text, AddSpecial::no);
  Detokenizer detokenizer(*tokenizer, SpecialText::keep);
  std::string streamed;
  int silent = 0;
  for (TokenId const token : tokens) {
    std::string const part = detokenizer.add(token);
    EXPECT_EQ(first_invalid_utf8(part), part.size());
    silent += part.empty() ? 1 : 0;
    streamed += part;
  }

  EXPECT_EQ(streamed, text);
  EXPECT_GE(silent, 3 + 2);
  EXPECT_TRUE(tokenizer->drops_first_space());
}

TEST(SentencePieceTokens, KeepSpacesOfTheText) {
  auto const tokenizer = tokenizer_from_folder(reference + "mistral-window128");

  for (std::string const text : {" a", "  a  b ", "a\n b", " "})
    EXPECT_EQ(decode(*tokenizer, tokenizer->encode(text, AddSpecial::yes), SpecialText::skip), text);
}

TEST(Tokenizers, RefuseWhatIsNotUtf8) {
  auto const tokenizer = tokenizer_from_folder(reference + "llama-gqa");

  for (std::string const text : {"a\xFF", "\xE4\xB8", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80"})
    EXPECT_THROW(tokenizer->encode(text, AddSpecial::no), InputError);
}

/// Quadratic work would take minutes here.
TEST(Tokenizers, TakeLongRunsOfOneCharacter) {
  for (char const* const model : {"llama3-rope-tied-bf16", "qwen2-sharded", "mistral-window128"}) {
    auto const tokenizer = tokenizer_from_folder(reference + model);
    for (std::string_view const piece : {"a", " ", "\n", "(", "\xCC\x81", "\xCC\x81\xCC\xA3", "e\xCC\x81"}) {
      std::string text;
      while (text.size() < 200'000) text += piece;

      std::string const back = decode(*tokenizer, tokenizer->encode(text, AddSpecial::no), SpecialText::keep);

      EXPECT_EQ(to_normal_form(back, NormalForm::nfc), to_normal_form(text, NormalForm::nfc)) << model;
    }
  }
}

TEST(NormalForms, ComposeOnlyWhatBelongsTogether) {
  auto const nfc = [](std::string_view text) { return to_normal_form(text, NormalForm::nfc); };

  EXPECT_EQ(nfc("e\xCC\x81"), "\xC3\xA9");
  EXPECT_EQ(nfc("\xE4\xB8\xAD"
                "e\xCC\x81\xE4\xB8\xAD"),
            "\xE4\xB8\xAD\xC3\xA9\xE4\xB8\xAD");
  EXPECT_EQ(nfc("a\xCC\x88\xCC\xA3"), "\xE1\xBA\xA1\xCC\x88");             // the mark below comes first
  EXPECT_EQ(nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB"), "\xED\x95\x9C");  // Hangul from its parts
  EXPECT_EQ(nfc("\xED\x95\x98\xE1\x86\xAB"), "\xED\x95\x9C");              // a syllable and its end
  EXPECT_EQ(nfc("\xE3\x81\x8B\xE3\x82\x99"), "\xE3\x81\x8C");              // kana and its voicing mark
  EXPECT_EQ(nfc("\xCC\x81x\xCC\x81"), "\xCC\x81x\xCC\x81");
  EXPECT_EQ(nfc("\xE2\x84\xAB"), "\xC3\x85");  // the sign of the unit Angstrom
}

TEST(NormalForms, LeaveInertCharactersAlone) {
  int inert = 0;
  for (char32_t code = 1; code < 0x20000; ++code) {
    if (!is_nfc_inert(code)) continue;
    ++inert;
    std::string text = "e";
    append_utf8(text, code);
    EXPECT_EQ(to_normal_form(to_normal_form(text, NormalForm::nfd), NormalForm::nfc), text) << std::uint32_t(code);
  }
  EXPECT_GT(inert, 40'000);
}

}  // namespace
}  // namespace windlass
