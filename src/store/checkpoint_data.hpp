/// What a checkpoint holds, in memory. On disk: README.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/core/hash.hpp"
#include "src/core/ids.hpp"
#include "src/kv/layer_group.hpp"

namespace windlass {

constexpr std::uint32_t checkpoint_format = 1;

/// Pages of one layer group, as they lie in the pool.
struct CheckpointGroup {
  std::uint32_t layers = 0, kv_heads = 0, head_dim = 0;
  std::uint32_t window_tokens = 0;  ///< 0: full attention
  std::uint64_t page_bytes = 0;
  bool operator==(CheckpointGroup const&) const = default;
};

/// What must agree for the pages of a checkpoint to mean anything.
struct CheckpointIdentity {
  std::string model;       ///< 32 hexadecimal digits: weights and specification
  std::string tokenizer;   ///< 32 hexadecimal digits, or "none"
  std::string arithmetic;  ///< arithmetic id
  std::string kv_format;   ///< "f32" or "bf16", in the order of the cpu kernels (kernels/kv_layout.hpp)
  std::vector<CheckpointGroup> groups;
  bool operator==(CheckpointIdentity const&) const = default;
};

/// One block: 64 tokens and the names that chain it to what came before.
struct SavedBlock {
  Hash128 name, parent;  ///< parent: of the block before, or the seed of the chain
  std::array<TokenId, block_tokens> tokens{};
};

/// One unfinished choice of a request.
struct SavedChoice {
  std::uint32_t choice = 0;
  std::uint32_t prompt_tokens = 0, generated_tokens = 0;
  std::uint32_t computed = 0;   ///< leading tokens whose KV is in the checkpoint
  std::vector<TokenId> tokens;  ///< prompt and generated
};

/// A request in progress.
struct SavedRequest {
  Hash128 name;  ///< of everything it asks for
  std::vector<SavedChoice> choices;
  std::vector<std::byte> progress;  ///< from which it goes on, in the writer's own encoding
};

/// The name of a page: a full block's, or the partial last block's of a choice of a request.
struct PageName {
  std::uint32_t group = 0;
  Hash128 name;  ///< of the block, or partial_name()
  auto operator<=>(PageName const&) const = default;
};

/// The name of the partial last page of a choice with `computed` computed tokens.
Hash128 partial_name(Hash128 request, std::uint32_t choice, std::uint32_t computed);

/// A page to be saved.
struct PageToSave {
  PageName name;
  std::span<std::byte const> bytes;   ///< [page_bytes of the group]; stays as it is until the writer is done
  std::optional<PageId> source = {};  ///< without bytes: WriteManner::fetch has them; without both: it is on disk

  bool is_here() const { return !bytes.empty() || source; }
};

/// Where a saved page lies.
struct PagePlace {
  std::uint32_t file = 0;  ///< index into the files of its checkpoint part
  std::uint32_t row = 0;
  std::uint64_t checksum = 0;
};

/// Everything of one rank. Blocks and requests in order of importance: the first ones are kept where room is short.
struct CheckpointContent {
  std::vector<SavedRequest> requests;
  std::vector<SavedBlock> blocks;             ///< each after its parent
  std::vector<PageToSave> pages;              ///< none twice
  std::uint64_t most_new_bytes = UINT64_MAX;  ///< of pages, for which there is time
};

/// A rank's part of a checkpoint, read back: all but the pages' bytes.
struct SavedPart {
  std::vector<SavedRequest> requests;
  std::vector<SavedBlock> blocks;
  std::map<PageName, PagePlace> pages;
  std::vector<std::string> files;  ///< names in the folder; the part's own is the first
};

/// Which files make up a checkpoint.
struct CheckpointMaster {
  CheckpointIdentity identity;
  std::uint64_t number = 0;
  std::int64_t written_unix_s = 0;
  bool planned_end = false;                          ///< written at a drain: nothing was computed after it
  std::map<std::string, std::string> configuration;  ///< of the job that wrote it
  std::vector<std::string> parts;                    ///< file names, one per rank that wrote
  std::vector<std::uint64_t> part_digests;           ///< [parts]: of what is not pages
};

}  // namespace windlass
