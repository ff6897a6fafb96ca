/// Names of blocks: a chain of hashes over everything that determines a block's KV.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/kv_layout.hpp"
#include "src/core/hash.hpp"
#include "src/core/ids.hpp"

namespace windlass {

/// What makes KV of equal tokens differ, or must keep it apart.
struct BlockSalt {
  std::string_view tenant;      ///< the request's cache_salt: equal prefixes of unlike salts are never shared
  std::string_view model;       ///< identity of the weights and of what changes them
  std::string_view arithmetic;  ///< arithmetic id: instruction-set level, precision, version of the orders of sums
  KvFormat kv_format = KvFormat::f32;
};

/// The start of the chain.
Hash128 seed_of(BlockSalt const& salt);

/// The name of the block with these tokens (block_tokens of them) that follows the block called `parent` (the seed for
/// the first one).
Hash128 block_hash(std::span<TokenId const> tokens, Hash128 parent);

/// The names of all full blocks of a sequence; a partial last block has none.
std::vector<Hash128> block_hashes(std::span<TokenId const> tokens, Hash128 seed);

/// The same, going on where `hashes` (of the first hashes.size() blocks) ends.
void extend_block_hashes(std::vector<Hash128>& hashes, std::span<TokenId const> tokens, Hash128 seed);

}  // namespace windlass
