/// What has to be equal in the answers of a request that was moved or stopped and of one that was not.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "src/engine/request.hpp"

namespace windlass::testing_data {

inline bool same(std::vector<PositionLogprobs> const& a, std::vector<PositionLogprobs> const& b) {
  auto const equal = [](TokenLogprob const& x, TokenLogprob const& y) {
    return x.token == y.token && x.logprob == y.logprob;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](auto const& x, auto const& y) {
    return equal(x.chosen, y.chosen) && std::equal(x.top.begin(), x.top.end(), y.top.begin(), y.top.end(), equal);
  });
}

inline void expect_equal(Answer const& moved, Answer const& stayed) {
  EXPECT_EQ(moved.error, stayed.error);
  EXPECT_TRUE(same(moved.prompt_logprobs, stayed.prompt_logprobs));
  ASSERT_EQ(moved.choices.size(), stayed.choices.size());
  for (std::size_t i = 0; i < moved.choices.size(); ++i) {
    EXPECT_EQ(moved.choices[i].tokens, stayed.choices[i].tokens);
    EXPECT_EQ(moved.choices[i].text, stayed.choices[i].text);
    EXPECT_EQ(moved.choices[i].finish, stayed.choices[i].finish);
    EXPECT_TRUE(same(moved.choices[i].logprobs, stayed.choices[i].logprobs));
  }
}

/// Token ids below `vocab`, the same for every call.
inline std::vector<TokenId> prompt_of(int tokens, int vocab) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < tokens; ++i) prompt.push_back(TokenId(std::uint32_t(7 + i * 31) % std::uint32_t(vocab - 1)));
  return prompt;
}

}  // namespace windlass::testing_data
