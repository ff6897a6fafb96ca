#include "src/serve/checkpoint_counts.hpp"

#include <initializer_list>

namespace windlass {

CheckpointCounts& CheckpointCounts::operator+=(CheckpointCounts const& other) {
  for (auto const member :
       {&CheckpointCounts::restored_requests, &CheckpointCounts::restored_tokens, &CheckpointCounts::restored_pages,
        &CheckpointCounts::restored_bytes, &CheckpointCounts::recomputed_tokens, &CheckpointCounts::damaged_pages,
        &CheckpointCounts::missing_pages, &CheckpointCounts::restore_us, &CheckpointCounts::cheaper_requests,
        &CheckpointCounts::late_requests, &CheckpointCounts::written, &CheckpointCounts::failed,
        &CheckpointCounts::saved_tokens, &CheckpointCounts::written_bytes, &CheckpointCounts::new_pages,
        &CheckpointCounts::kept_pages, &CheckpointCounts::left_out_pages, &CheckpointCounts::write_us})
    this->*member += other.*member;
  return *this;
}

}  // namespace windlass
