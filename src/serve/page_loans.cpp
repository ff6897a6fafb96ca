#include "src/serve/page_loans.hpp"

#include <algorithm>

#include "src/kv/page_pool.hpp"

namespace windlass {

void PageLoans::lend(int borrower, std::span<KvPageName const> pages) {
  for (KvPageName const& name : pages) {
    groups_[name.group].pool->retain(PageId{name.page});
    auto const [at, is_new] = lent_[borrower].try_emplace({name.group, name.page}, 0);
    ++at->second;
    pages_[name.group] += is_new;
  }
}

void PageLoans::take_back(int borrower, std::span<ReturnedLoan const> returned) {
  auto& loans = lent_[borrower];
  for (ReturnedLoan const& each : returned) {
    auto const at = loans.find({each.group, each.page});
    if (at == loans.end() || at->second < each.loans)
      throw WireError(text("pages returned: page ", each.page, " of group ", each.group, " is not lent to this rank"));
  }
  for (ReturnedLoan const& each : returned) {
    auto const at = loans.find({each.group, each.page});
    if (at == loans.end() || at->second < each.loans) throw WireError("pages returned: one page twice");
    release(at->first, each.loans);
    at->second -= each.loans;
    if (at->second > 0) continue;
    --pages_[each.group];
    loans.erase(at);
  }
}

void PageLoans::end_loans_of(int borrower) {
  for (auto const& [page, times] : lent_[borrower]) {
    release(page, times);
    --pages_[page.first];
  }
  lent_.erase(borrower);
}

double PageLoans::share() const {
  double most = 0;
  for (std::size_t group = 0; group < groups_.size(); ++group)
    most = std::max(most, double(pages_[group]) / double(groups_[group].pool->pages()));
  return most;
}

void PageLoans::release(Page page, std::uint64_t times) {
  for (std::uint64_t i = 0; i < times; ++i) groups_[page.first].pool->release(PageId{page.second});
}

SequencePages borrow_pages(std::span<KvPageName const> pages, int computed, std::span<LayerGroup const> groups) {
  SequencePages borrowed(groups);
  std::vector<BlockPages> blocks(std::size_t(blocks_for(computed)), BlockPages{});
  for (KvPageName const& name : pages) {
    groups[name.group].pool->borrow(PageId{name.page});
    blocks.at(name.block)[name.group] = PageId{name.page};
  }
  borrowed.adopt(blocks);
  return borrowed;
}

std::vector<ReturnedLoan> take_ended_loans(std::span<LayerGroup const> groups) {
  std::vector<ReturnedLoan> ended;
  for (std::size_t group = 0; group < groups.size(); ++group)
    for (PagePool::Returned const& each : groups[group].pool->take_returned())
      ended.push_back({.group = std::uint32_t(group), .page = number(each.page), .loans = each.loans});
  return ended;
}

std::vector<KvPageName> page_names(SequencePages const& pages, int computed, std::span<LayerGroup const> groups) {
  std::vector<KvPageName> names;
  int const blocks = blocks_for(computed);
  for (std::size_t group = 0; group < groups.size(); ++group) {
    int const first =
        std::max(pages.first_block(int(group)), first_visible_block(computed, groups[group].window_tokens));
    for (int block = std::min(first, blocks); block < blocks; ++block) {
      PageId const page = *pages.block(block)[group];
      names.push_back({.group = std::uint32_t(group),
                       .block = std::uint32_t(block),
                       .page = number(page),
                       .generation = groups[group].pool->generation(page)});
    }
  }
  return names;
}

std::vector<KvPageName> expected_names(int computed, std::span<LayerGroup const> groups) {
  std::vector<KvPageName> names;
  int const blocks = blocks_for(computed);
  for (std::size_t group = 0; group < groups.size(); ++group)
    for (int block = std::min(blocks, first_visible_block(computed, groups[group].window_tokens)); block < blocks;
         ++block)
      names.push_back({.group = std::uint32_t(group), .block = std::uint32_t(block), .page = 0, .generation = 0});
  return names;
}

bool same_places(std::span<KvPageName const> a, std::span<KvPageName const> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](KvPageName const& x, KvPageName const& y) { return x.group == y.group && x.block == y.block; });
}

}  // namespace windlass
