/// Which finished prompts a decode instance pulls now (DistServe's bridge queue).
#pragma once

#include <cstdint>
#include <span>

namespace windlass {

struct DecodePullInput {
  std::span<std::int64_t const> pages;  ///< [offers]: pages of each offered prompt, oldest first
  std::int64_t free_pages;
  std::int64_t pool_pages;
  std::int64_t waiting_pages;       ///< already pulled, not yet in a batch
  double max_waiting_share = 0.05;  ///< of the pool, that may wait before a batch
};

enum class DecodePullStop : std::uint8_t { no_offer, enough_waiting, no_free_pages };

struct DecodePullPlan {
  std::int64_t offers;  ///< the first this many of `pages`
  DecodePullStop stop;
};

/// Pulls in order of arrival while few pages wait and the next prompt fits, so the prefill side is the burst buffer.
/// Local, pure, no errors. Source: DistServe (OSDI'24), section 4.3.
DecodePullPlan plan_decode_pull(DecodePullInput const& in);

}  // namespace windlass
