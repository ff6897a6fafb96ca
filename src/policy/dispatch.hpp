/// To which of several equal instances the next request goes: the least loaded one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace windlass {

struct DispatchInput {
  std::span<std::int64_t const>
      load;  ///< [instances]: queue length, tokens, time or pages; `unavailable_load` = do not use
};

constexpr std::int64_t unavailable_load = INT64_MAX;

enum class DispatchStop : std::uint8_t { chosen, no_instance };

struct DispatchPlan {
  std::size_t instance;  ///< index into `load`; meaningless with no_instance
  DispatchStop stop;
};

/// The instance with the smallest load, the lowest index among equals. With queue lengths this is DistServe's
/// shortest queue, with pages its least loaded decode instance (DistServe, OSDI'24, section 4.3).
/// Local, pure, no errors.
DispatchPlan plan_dispatch(DispatchInput const& in);

}  // namespace windlass
