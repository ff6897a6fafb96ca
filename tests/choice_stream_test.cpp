// Deltas of a choice that overtake each other, come again, or are lost.
#include "src/serve/choice_stream.hpp"

#include <gtest/gtest.h>

#include <string>

namespace windlass {
namespace {

constexpr std::string_view whole_text = "abcdefgh";

/// Token `i` of the answer, whose text is a letter.
ChoiceDelta piece(std::uint32_t i) {
  ChoiceDelta delta{.tokens = {TokenId{100 + i}}, .text = std::string(1, whole_text[i]), .logprobs = {}, .finish = {}};
  if (i == 0) delta.prompt_logprobs.push_back({});
  if (i + 1 == whole_text.size()) delta.finish = FinishReason::stop;
  return delta;
}

Choice whole() {
  Choice choice{.tokens = {}, .text = std::string(whole_text), .logprobs = {}, .finish = FinishReason::stop};
  for (std::uint32_t i = 0; i < whole_text.size(); ++i) choice.tokens.push_back(TokenId{100 + i});
  return choice;
}

std::string text_of(std::vector<ChoiceDelta> const& deltas) {
  std::string text;
  std::uint32_t next = 100;
  for (ChoiceDelta const& delta : deltas) {
    text += delta.text;
    for (TokenId const token : delta.tokens) EXPECT_EQ(token, TokenId{next++});
  }
  return text;
}

std::string told(std::vector<std::uint32_t> const& order) {
  ChoiceStream stream;
  std::vector<ChoiceDelta> out;
  for (std::uint32_t const i : order) stream.take(i, piece(i), out);
  return text_of(out);
}

TEST(ChoiceStream, TellsTokensInOrder) {
  EXPECT_EQ(told({0, 1, 2, 3}), "abcd");
  EXPECT_EQ(told({1, 2, 0, 3}), "abcd");
  EXPECT_EQ(told({3, 2, 1}), "");
  EXPECT_EQ(told({3, 2, 1, 0}), "abcd");
}

TEST(ChoiceStream, TellsNothingTwiceWhereARequestStartsAgain) {
  ChoiceStream stream;
  std::vector<ChoiceDelta> out;
  for (std::uint32_t const i : {0u, 1u, 2u, 4u}) stream.take(i, piece(i), out);
  stream.forget_early();
  for (std::uint32_t i = 0; i < whole_text.size(); ++i) stream.take(i, piece(i), out);
  stream.finish(whole(), {}, out);

  EXPECT_EQ(text_of(out), whole_text);
  EXPECT_EQ(out.size(), whole_text.size());
}

TEST(ChoiceStream, TheAnswerBringsWhatIsMissing) {
  for (std::uint32_t told_tokens = 0; told_tokens <= whole_text.size(); ++told_tokens) {
    ChoiceStream stream;
    std::vector<ChoiceDelta> out;
    for (std::uint32_t i = 0; i < told_tokens; ++i) stream.take(i, piece(i), out);

    ChoiceDelta place;
    place.prompt_logprobs.push_back({});
    stream.finish(whole(), place, out);
    stream.finish(whole(), place, out);

    EXPECT_EQ(text_of(out), whole_text);
    EXPECT_EQ(out.back().finish, FinishReason::stop);
    std::size_t prompts = 0;
    for (ChoiceDelta const& delta : out) prompts += delta.prompt_logprobs.size();
    EXPECT_EQ(prompts, 1u);
  }
}

}  // namespace
}  // namespace windlass
