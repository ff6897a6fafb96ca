/// A step's rows in pieces, so that the stages of an instance compute at the same time.
#pragma once

#include <vector>

#include "src/engine/forward_pass.hpp"

namespace windlass {

/// A piece of fewer rows reads the weights again without enough to do with them.
constexpr int least_micro_batch_rows = 64;
/// m pieces take (m + s - 1) / (m * s) of the time that one stage would need for all layers: with two stages 3/4 of it
/// for two pieces, 5/8 for four, and 1/2 at best.
constexpr int most_micro_batches_per_stage = 2;

/// Ascending, together [0, rows); one where there is one stage, or too little to share. The same on all ranks.
std::vector<IndexRange> micro_batches(int rows, int stages);

/// Those rows of a batch as a batch of their own, without its logit_rows. Its page tables point into the same memory.
Batch rows_of(Batch const& batch, IndexRange rows);

}  // namespace windlass
