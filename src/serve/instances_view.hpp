/// What several instances do, for metrics and people.
#pragma once

#include <cstdint>
#include <vector>

#include "src/serve/progress.hpp"
#include "src/serve/report.hpp"

namespace windlass {

/// Empty where one engine does all.
struct InstancesView {
  std::vector<InstanceView> instances;
  KvFlow shared, copied;                ///< from prefill to decode instances
  std::int64_t failed_handoffs = 0;     ///< whose prompts were computed again
  std::int64_t restarted_requests = 0;  ///< at the loss of an instance
};

}  // namespace windlass
