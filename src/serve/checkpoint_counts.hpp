/// What checkpoints did.
#pragma once

#include <cstdint>

namespace windlass {

/// For the report.
struct CheckpointCounts {
  std::int64_t restored_requests = 0, restored_tokens = 0, restored_pages = 0, restored_bytes = 0;
  std::int64_t recomputed_tokens = 0;  ///< should have come back, but did not
  std::int64_t damaged_pages = 0, missing_pages = 0;
  std::int64_t restore_us = 0;        ///< in reading pages
  std::int64_t cheaper_requests = 0;  ///< of which only the tokens were saved at the end: computing was cheaper
  std::int64_t late_requests = 0;     ///< the same: there was no time
  std::int64_t written = 0, failed = 0;
  std::int64_t saved_tokens = 0;  ///< computed or generated, of unfinished requests, in the last one
  std::int64_t written_bytes = 0, new_pages = 0, kept_pages = 0, left_out_pages = 0;
  std::int64_t write_us = 0;

  CheckpointCounts& operator+=(CheckpointCounts const& other);
};

}  // namespace windlass
