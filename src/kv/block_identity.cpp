#include "src/kv/block_identity.hpp"

#include "src/core/error.hpp"

namespace windlass {

Hash128 seed_of(BlockSalt const& salt) {
  // Each link ends with its own length, so no two different salts concatenate to the same bytes.
  std::byte const format{static_cast<unsigned char>(salt.kv_format)};
  Hash128 const layout = hash_bytes({&format, 1}, hash_text("windlass block 1"));
  return hash_text(salt.tenant, hash_text(salt.arithmetic, hash_text(salt.model, layout)));
}

Hash128 block_hash(std::span<TokenId const> tokens, Hash128 parent) {
  ensure(tokens.size() == std::size_t(block_tokens), "only full blocks have a name");
  return hash_bytes(std::as_bytes(tokens), parent);
}

std::vector<Hash128> block_hashes(std::span<TokenId const> tokens, Hash128 seed) {
  std::vector<Hash128> hashes;
  extend_block_hashes(hashes, tokens, seed);
  return hashes;
}

void extend_block_hashes(std::vector<Hash128>& hashes, std::span<TokenId const> tokens, Hash128 seed) {
  for (std::size_t end = (hashes.size() + 1) * block_tokens; end <= tokens.size(); end += block_tokens)
    hashes.push_back(
        block_hash(tokens.subspan(end - block_tokens, block_tokens), hashes.empty() ? seed : hashes.back()));
}

}  // namespace windlass
