// Thoughts and answers told apart, however the text is cut.
#include "src/serve/reasoning.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace windlass {
namespace {

struct Case {
  ReasoningStart start;
  std::string text, reasoning, content;
};

std::vector<Case> const& cases() {
  using enum ReasoningStart;
  static std::vector<Case> const all = {
      {open, "plain answer", "", "plain answer"},
      {open, "<think>\na b\n</think>\n\nanswer \n", "a b", "answer \n"},
      {open, "\n<think>x</think>y", "x", "y"},
      {open, "  <thin air", "", "  <thin air"},
      {open, "a <think>b</think>", "", "a <think>b</think>"},
      {open, "<think>never ends </thin", "never ends </thin", ""},
      {open, "<think></think>y", "", "y"},
      {open, " ", "", " "},
      {open, "", "", ""},
      {inside, "so </ then </think>\n{}", "so </ then", "{}"},
      {inside, "\n\nall of it  ", "all of it", ""},
  };
  return all;
}

TEST(Reasoning, IsSplitOffWholeTexts) {
  for (Case const& one : cases()) {
    ReasoningText const parts = split_reasoning(one.text, one.start);

    EXPECT_EQ(parts.reasoning, one.reasoning) << one.text;
    EXPECT_EQ(parts.content, one.content) << one.text;
  }
}

TEST(Reasoning, AnyCutsGiveTheSameParts) {
  for (Case const& one : cases())
    for (std::size_t first = 0; first <= one.text.size(); ++first)
      for (std::size_t second = first; second <= one.text.size(); ++second) {
        ReasoningParser parser(one.start);
        std::string reasoning, content;
        auto const take = [&](ReasoningText const& parts) {
          reasoning += parts.reasoning;
          content += parts.content;
        };
        take(parser.add(one.text.substr(0, first)));
        take(parser.add(one.text.substr(first, second - first)));
        take(parser.add(one.text.substr(second)));
        take(parser.finish());

        EXPECT_EQ(reasoning, one.reasoning) << one.text << " cut at " << first << " and " << second;
        EXPECT_EQ(content, one.content) << one.text << " cut at " << first << " and " << second;
      }
}

TEST(Reasoning, APromptMayOpenIt) {
  EXPECT_EQ(reasoning_start("<assistant><think>\n"), ReasoningStart::inside);
  EXPECT_EQ(reasoning_start("<think>\n\n</think>\n\n"), ReasoningStart::open);
}

}  // namespace
}  // namespace windlass
