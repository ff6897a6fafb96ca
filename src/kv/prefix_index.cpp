#include "src/kv/prefix_index.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

std::span<TokenId const> tokens_of(std::span<TokenId const> tokens, std::size_t block) {
  return tokens.subspan(block * block_tokens, block_tokens);
}

}  // namespace

PrefixIndex::PrefixIndex(std::span<LayerGroup const> groups) : groups_(groups) {
  ensure(!groups.empty() && groups.size() <= std::size_t(max_layer_groups), "a model has 1 to 4 layer groups");
}

bool PrefixIndex::is_candidate(Entry const& entry, std::size_t group) const {
  return entry.pages[group] && (entry.children == 0 || !is_full_attention(group));
}

/// Makes the entry the one used last in the group.
void PrefixIndex::touch(Entry& entry, std::size_t group) {
  candidates_[group].erase(entry.last_use[group]);
  entry.last_use[group] = ++uses_;
  if (is_candidate(entry, group)) candidates_[group].emplace(uses_, &entry);
}

void PrefixIndex::take_page(Entry& entry, std::size_t group, PageId page) {
  groups_[group].pool->retain(page);
  entry.pages[group] = page;
}

void PrefixIndex::give_page(Entry& entry, std::size_t group) {
  groups_[group].pool->release(*entry.pages[group]);
  entry.pages[group].reset();
  candidates_[group].erase(entry.last_use[group]);
}

PrefixIndex::Entry* PrefixIndex::find(Hash128 hash, Entry const* parent, std::span<TokenId const> tokens) {
  auto const at = entries_.find(hash);
  if (at == entries_.end()) return nullptr;
  Entry& entry = at->second;
  if (entry.parent == parent && std::equal(tokens.begin(), tokens.end(), entry.tokens.begin())) return &entry;
  ++counters_.collisions;
  return nullptr;
}

PrefixMatch PrefixIndex::match(std::span<TokenId const> tokens, std::span<Hash128 const> hashes) {
  ensure(tokens.size() >= hashes.size() * block_tokens, "a block is matched without its tokens");
  std::vector<Entry*> path;
  PrefixMatch result;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    Entry* entry = find(hashes[i], path.empty() ? nullptr : path.back(), tokens_of(tokens, i));
    if (!entry) break;
    path.push_back(entry);
    result.blocks.push_back(entry->pages);
  }
  int const usable = usable_blocks(result.blocks, groups_);
  result.blocks.resize(std::size_t(usable));
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    int const first = first_visible_block(usable * block_tokens, groups_[group].window_tokens);
    for (int i = 0; i < usable; ++i) {
      auto& page = result.blocks[std::size_t(i)][group];
      if (i < first) page.reset();
      if (!page) continue;
      groups_[group].pool->retain(*page);
      touch(*path[std::size_t(i)], group);
    }
  }
  counters_.hit_blocks += usable;
  counters_.missed_blocks += std::int64_t(hashes.size()) - usable;
  if (usable > 0) result.cursor = {.blocks = usable, .serial = path[std::size_t(usable) - 1]->serial};
  return result;
}

/// The entry of the cursor's block; null, and the cursor at the start, where it is no longer indexed.
PrefixIndex::Entry* PrefixIndex::resume(PrefixCursor& cursor, std::span<Hash128 const> hashes) {
  if (cursor.blocks > 0 && std::size_t(cursor.blocks) <= hashes.size()) {
    auto const at = entries_.find(hashes[std::size_t(cursor.blocks) - 1]);
    if (at != entries_.end() && at->second.serial == cursor.serial) return &at->second;
  }
  cursor = {};
  return nullptr;
}

void PrefixIndex::add(Entry& entry, Entry* parent, std::span<TokenId const> tokens) {
  entry.parent = parent;
  std::copy(tokens.begin(), tokens.end(), entry.tokens.begin());
  entry.serial = ++serials_;
  if (!parent) return;
  if (parent->children++ > 0) return;
  for (std::size_t group = 0; group < groups_.size(); ++group)
    if (is_full_attention(group)) candidates_[group].erase(parent->last_use[group]);  // no leaf any more
}

int PrefixIndex::insert(PrefixCursor& cursor, std::span<TokenId const> tokens, std::span<Hash128 const> hashes,
                        SequencePages const& pages) {
  ensure(tokens.size() >= hashes.size() * block_tokens, "a block is indexed without its tokens");
  ensure(std::size_t(pages.blocks()) >= hashes.size(), "a block is indexed without its pages");
  std::size_t const before = entries_.size();
  Entry* parent = resume(cursor, hashes);
  for (std::size_t i = std::size_t(cursor.blocks); i < hashes.size(); ++i) {
    auto const [at, is_new] = entries_.try_emplace(hashes[i], Entry{.hash = hashes[i]});
    Entry* entry = &at->second;
    if (is_new)
      add(*entry, parent, tokens_of(tokens, i));
    else if (!find(hashes[i], parent, tokens_of(tokens, i)))
      break;
    BlockPages const block = pages.block(int(i));
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      ensure(block[group] || !is_full_attention(group), "a full-attention group has given up a page");
      if (!block[group]) continue;
      if (!entry->pages[group]) take_page(*entry, group, *block[group]);
      touch(*entry, group);
    }
    cursor = {.blocks = int(i) + 1, .serial = entry->serial};
    parent = entry;
  }
  return int(entries_.size() - before);
}

/// Takes a leaf out of the tree; its parent may become one.
void PrefixIndex::remove(Entry& entry) {
  for (std::size_t group = 0; group < groups_.size(); ++group)
    if (entry.pages[group]) give_page(entry, group);
  Entry* parent = entry.parent;
  entries_.erase(entry.hash);
  if (!parent || --parent->children > 0) return;
  for (std::size_t group = 0; group < groups_.size(); ++group)
    if (is_candidate(*parent, group)) candidates_[group].emplace(parent->last_use[group], parent);
}

/// Without full attention a block can lose its last page; as a leaf it is then of no use.
void PrefixIndex::remove_empty_leaves(Entry* entry) {
  while (entry && entry->children == 0 &&
         std::none_of(entry->pages.begin(), entry->pages.end(), [](auto const& page) { return page.has_value(); })) {
    Entry* parent = entry->parent;
    remove(*entry);
    entry = parent;
  }
}

int PrefixIndex::evict(int group_index, int pages_wanted) {
  auto const group = std::size_t(group_index);
  auto& candidates = candidates_[group];
  std::uint64_t const newest = uses_;  // what is touched below is looked at once
  int freed = 0;
  while (freed < pages_wanted && !candidates.empty() && candidates.begin()->first <= newest) {
    Entry& entry = *candidates.begin()->second;
    if (groups_[group].pool->references(*entry.pages[group]) > 1) {
      touch(entry, group);
      continue;
    }
    if (is_full_attention(group)) {
      remove(entry);
    } else {
      give_page(entry, group);
      remove_empty_leaves(&entry);
    }
    ++freed;
  }
  counters_.evicted_pages += freed;
  return freed;
}

std::vector<IndexedBlock> PrefixIndex::contents() const {
  std::vector<Entry const*> order;
  for (auto const& [hash, entry] : entries_) order.push_back(&entry);
  auto const newest_first = [](Entry const* a, Entry const* b) { return a->serial > b->serial; };
  std::sort(order.begin(), order.end(), newest_first);
  std::unordered_map<Entry const*, std::uint64_t> used;  // a parent counts as used when its last descendant was
  for (Entry const* entry : order) {
    std::uint64_t& own = used[entry];
    own = std::max(own, *std::max_element(entry->last_use.begin(), entry->last_use.end()));
    if (entry->parent) used[entry->parent] = std::max(used[entry->parent], own);
  }
  std::sort(order.begin(), order.end(), [&](Entry const* a, Entry const* b) {
    return used[a] != used[b] ? used[a] > used[b] : a->serial < b->serial;
  });
  std::vector<IndexedBlock> blocks;
  for (Entry const* entry : order)
    blocks.push_back({.name = entry->hash,
                      .parent = entry->parent ? entry->parent->hash : Hash128{},
                      .tokens = entry->tokens,
                      .pages = entry->pages});
  return blocks;
}

void PrefixIndex::clear() {
  for (auto& [hash, entry] : entries_)
    for (std::size_t group = 0; group < groups_.size(); ++group)
      if (entry.pages[group]) give_page(entry, group);
  entries_.clear();
}

}  // namespace windlass
