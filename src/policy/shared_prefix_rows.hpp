/// The order of a decode batch's rows in which sequences that share chunks lie side by side (ChunkAttention).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace windlass {

struct ChunkedSequence {
  std::span<std::uint64_t const> full_chunks;  ///< hash of the prefix up to each full chunk of its prompt, in order
  std::int64_t tokens;                         ///< prompt and generated so far
};

struct SharedPrefixRowsInput {
  std::span<ChunkedSequence const> sequences;  ///< in order of admission
  std::int64_t chunk_tokens = 64;
};

/// A chunk that several rows read: once for all of them.
struct SharedChunk {
  std::uint64_t hash;
  std::size_t first_row, rows;
};

enum class SharedPrefixRowsStop : std::uint8_t { shares, nothing_shared };

struct SharedPrefixRowsPlan {
  std::vector<std::size_t> row_of;  ///< [sequences]
  std::vector<SharedChunk> shared;  ///< by depth first
  std::int64_t held_chunks;         ///< chunks in memory, each shared one once, a private tail for every sequence
  SharedPrefixRowsStop stop;
};

/// Depth first over the tree of chunks, children by their first sequence. A sequence ends in a private chunk that is
/// never full, so shared chunks never change. Local, pure, no errors. Source: ChunkAttention (ACL'24), section 3.1.
SharedPrefixRowsPlan plan_shared_prefix_rows(SharedPrefixRowsInput const& in);

}  // namespace windlass
