#include "src/engine/stop_text.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace windlass {
namespace {

using Strings = std::vector<std::string>;

/// What comes out when the pieces go in, and then "|" and whether it stopped.
std::string stream(Strings const& stops, Strings const& pieces, MatchedText matched = MatchedText::drop) {
  StopText stop(stops, matched);
  std::string out;
  for (std::string const& piece : pieces) out += stop.add(piece);
  if (!stop.stopped()) out += stop.finish();
  return out + (stop.stopped() ? "|stopped" : "|");
}

TEST(StopText, EndsTheTextBeforeOrAfterTheStopString) {
  EXPECT_EQ(stream({"END"}, {"one END two"}), "one |stopped");
  EXPECT_EQ(stream({"END"}, {"one E", "N", "D two"}), "one |stopped");
  EXPECT_EQ(stream({"END"}, {"one E", "N", "D two"}, MatchedText::keep), "one END|stopped");
  EXPECT_EQ(stream({"END"}, {"one EN", "EN"}), "one ENEN|");
  EXPECT_EQ(stream({}, {"any", "thing"}), "anything|");
}

TEST(StopText, HoldsBackOnlyWhatMayBecomeAStopString) {
  std::array<std::string, 2> const stops{"\n\n", "aab"};
  StopText stop(stops);

  EXPECT_EQ(stop.add("x\n"), "x");
  EXPECT_EQ(stop.add("y"), "\ny");
  EXPECT_EQ(stop.add("aa"), "");
  EXPECT_EQ(stop.add("a"), "a");  // "aa" may still become "aab"
  EXPECT_EQ(stop.add("b"), "");
  EXPECT_TRUE(stop.stopped());
  EXPECT_EQ(stop.add("more"), "");
}

TEST(StopText, TheStringThatEndsFirstWinsAndOfThoseTheLongest) {
  EXPECT_EQ(stream({"abcd", "bc"}, {"xabcd"}), "xa|stopped");
  EXPECT_EQ(stream({"c", "abc"}, {"xabcd"}), "x|stopped");
  EXPECT_EQ(stream({"d", "b"}, {"abcd"}), "a|stopped");
}

TEST(StopText, WhileIgnoredAMatchPassesButItsEndStillCounts) {
  std::array<std::string, 1> const stops{"aa"};
  StopText stop(stops);

  EXPECT_EQ(stop.add("xaa", StopSearch::ignore), "xa");
  EXPECT_FALSE(stop.stopped());
  EXPECT_EQ(stop.add("a"), "");
  EXPECT_TRUE(stop.stopped());
}

TEST(StopText, CutsBetweenCharacters) {
  EXPECT_EQ(stream({"é"}, {"caf\xc3", "\xa9!"}), "caf|stopped");
  EXPECT_EQ(stream({"è"}, {"caf\xc3", "\xa9!"}), "café!|");
}

/// By the definition: the shortest prefix of the text that ends with a stop string.
std::string naive(Strings const& stops, std::string const& text) {
  for (std::size_t end = 0; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (std::string const& stop : stops)
      if (std::string_view(text).substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    if (longest > 0) return text.substr(0, end - longest) + "|stopped";
  }
  return text + "|";
}

TEST(StopText, DoesNotDependOnThePieces) {
  std::mt19937_64 random(2);
  auto const random_text = [&](std::size_t length) {
    std::string text;
    while (text.size() < length) text += char('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 5000; ++round) {
    Strings stops;
    for (std::uint64_t i = random() % 3; i < 3; ++i) stops.push_back(random_text(2 + random() % 6));
    std::string const text = random_text(random() % 30);
    Strings pieces;
    for (std::size_t at = 0; at < text.size(); at += pieces.back().size())
      pieces.push_back(text.substr(at, 1 + random() % 5));

    ASSERT_EQ(stream(stops, pieces), naive(stops, text)) << text;
  }
}

}  // namespace
}  // namespace windlass
