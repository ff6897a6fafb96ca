/// How many waiting prompts one prefill step takes (DistServe's L_m batching).
#pragma once

#include <cstdint>
#include <span>

namespace windlass {

struct WaitingPrompt {
  std::int64_t tokens;  ///< prompt tokens to compute
  std::int64_t pages;   ///< pages its KV takes until the decode side has pulled it
};

/// What a prompt longer than what is left of the saturating length does.
enum class PromptFit : std::uint8_t {
  until_saturated,  ///< the prompt that crosses `saturating_tokens` still joins: the paper's L_m rule
  within_limit,     ///< only prompts that stay within `max_tokens` join
};

struct PrefillBatchInput {
  std::span<WaitingPrompt const> waiting;  ///< oldest first
  std::int64_t max_prompts;                ///< >= 1
  std::int64_t max_tokens;                 ///< of one step; one longer prompt goes alone
  std::int64_t saturating_tokens;          ///< L_m: a batch this long keeps the device busy, longer only delays
  std::int64_t free_pages;                 ///< pool less the running batches and the KV that nobody has pulled yet
  PromptFit fit;
};

enum class PrefillBatchStop : std::uint8_t { queue_empty, too_many_prompts, saturated, token_limit, no_free_pages };

struct PrefillBatchPlan {
  std::int64_t prompts;  ///< the first this many of `waiting`
  std::int64_t tokens;
  PrefillBatchStop stop;
};

/// The head of the queue until the device is saturated; nobody overtakes. Local, pure, no errors.
/// Source: DistServe (OSDI'24), section 4.3.
PrefillBatchPlan plan_prefill_batch(PrefillBatchInput const& in);

}  // namespace windlass
