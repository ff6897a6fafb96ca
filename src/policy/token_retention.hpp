/// Which instance keeps which tokens' KV after an elastic prefill: proactive scale-down.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace windlass {

struct TokenRetentionInput {
  std::span<std::int64_t const> prompt_tokens;  ///< [prompts], in order
  std::span<std::int64_t const> used_tokens;    ///< [instances] of the group
  std::int64_t capacity_tokens;                 ///< of one instance
};

struct RetainedRange {
  std::size_t prompt, instance;
  std::int64_t begin, end;  ///< token range of the prompt
};

enum class TokenRetentionStop : std::uint8_t { packed, too_few_tokens_free };

struct TokenRetentionPlan {
  std::vector<RetainedRange> ranges;  ///< disjoint; together they cover every prompt
  std::vector<std::size_t> released;  ///< instances that keep nothing and become idle
  TokenRetentionStop stop;
};

/// Fills the fullest instances first, each up to its capacity, with consecutive ranges: the fewest instances decode on.
/// While chunks circulate in ring attention every instance sees all KV, so keeping costs no message.
/// Local, pure, no errors. Source: LoongServe (SOSP'24), section 4.1.
TokenRetentionPlan plan_token_retention(TokenRetentionInput const& in);

}  // namespace windlass
