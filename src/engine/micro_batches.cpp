#include "src/engine/micro_batches.hpp"

#include <algorithm>

namespace windlass {

std::vector<IndexRange> micro_batches(int rows, int stages) {
  int const most = stages == 1 ? 1 : most_micro_batches_per_stage * stages;
  int const count = std::clamp(rows / least_micro_batch_rows, 1, most);
  std::vector<IndexRange> parts;
  for (int i = 0; i < count; ++i)
    parts.push_back({.begin = int(std::int64_t(rows) * i / count), .end = int(std::int64_t(rows) * (i + 1) / count)});
  return parts;
}

Batch rows_of(Batch const& batch, IndexRange rows) {
  Batch part{.tokens = {batch.tokens.begin() + rows.begin, batch.tokens.begin() + rows.end},
             .positions = {batch.positions.begin() + rows.begin, batch.positions.begin() + rows.end},
             .sequences = {},
             .logit_rows = {},
             .first_row = batch.first_row + rows.begin};
  for (int const position : part.positions) part.max_context = std::max(part.max_context, position + 1);
  for (auto const& group : batch.sequences) {
    auto& own = part.sequences.emplace_back();
    for (SequenceRows const& sequence : group) {
      int const begin = std::max(sequence.first_row, rows.begin);
      int const end = std::min(sequence.first_row + sequence.rows, rows.end);
      if (begin < end)
        own.push_back({.first_row = begin - rows.begin,
                       .rows = end - begin,
                       .first_position = sequence.first_position + begin - sequence.first_row,
                       .pages = sequence.pages});
    }
  }
  return part;
}

}  // namespace windlass
