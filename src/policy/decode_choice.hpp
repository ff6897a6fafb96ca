/// Which instance decodes a request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace windlass {

struct DecodeCandidate {
  double step_us;            ///< predicted time of one step with this request in it
  std::int64_t free_tokens;  ///< KV neither held nor reserved
  double handoff_us;         ///< to move the prompt's KV there
};

struct DecodeChoiceInput {
  std::span<DecodeCandidate const> candidates;
  std::int64_t reserved_tokens;  ///< prompt and predicted output
  double equal_within = 0;       ///< share by which two steps may differ and count as equal
};

enum class DecodeChoiceStop : std::uint8_t { chosen, no_room, no_candidate };

struct DecodeChoicePlan {
  std::size_t instance;  ///< index; the one with most free tokens with no_room; meaningless with no_candidate
  DecodeChoiceStop stop;
};

/// Among those with room for prompt and predicted output the one with the shortest step; among equals the nearest,
/// then the lowest index. Local, pure, no errors. Source: Mooncake (predicted TBT), Splitwise (reservation),
/// DistServe-Low (the same node), joined.
DecodeChoicePlan plan_decode_choice(DecodeChoiceInput const& in);

}  // namespace windlass
