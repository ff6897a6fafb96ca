// Pages of one pool that another process's sequences hold, inside of one process.
#include "src/serve/page_loans.hpp"

#include <gtest/gtest.h>

#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

constexpr KvShape shape{.layers = 1, .kv_heads = 1, .head_dim = 8};
constexpr std::uint32_t own_pages = 4;
constexpr int borrower = 3;

class PageLoansTest : public testing::Test {
 protected:
  PagePoolConfig config(std::uint32_t first) {
    auto const memory = PageMemory{.base = bytes_.data(), .all_pages = 2 * own_pages, .first_page = first};
    return {.shape = shape, .pages = own_pages, .memory = std::make_shared<PageMemory>(memory)};
  }
  static std::vector<ReturnedLoan> returned(PageId page, std::uint64_t loans) {
    return {{.group = 0, .page = number(page), .loans = loans}};
  }

  std::vector<std::byte> bytes_ = std::vector<std::byte>(2 * own_pages * shape.page_bytes());
  PagePool lender_{config(0)}, other_{config(own_pages)};
  LayerGroup lender_group_{.pool = &lender_}, other_group_{.pool = &other_};
  PageLoans loans_{std::span(&lender_group_, 1)};
};

TEST_F(PageLoansTest, LentPagesStayInUseUntilTheyAreGivenBack) {
  PageId const page = lender_.allocate().value();
  KvPageName const name{.group = 0, .block = 0, .page = number(page), .generation = 1};
  loans_.lend(borrower, std::span(&name, 1));
  loans_.lend(borrower, std::span(&name, 1));
  lender_.release(page);  // the lender's own sequence is done with it

  EXPECT_EQ(lender_.free_pages(), own_pages - 1);
  EXPECT_DOUBLE_EQ(loans_.share(), 1.0 / own_pages);
  loans_.take_back(borrower, returned(page, 1));
  EXPECT_EQ(lender_.free_pages(), own_pages - 1);
  loans_.take_back(borrower, returned(page, 1));

  EXPECT_EQ(lender_.free_pages(), own_pages);
  EXPECT_EQ(loans_.share(), 0);
}

TEST_F(PageLoansTest, WhatIsNotLentIsNotTakenBack) {
  PageId const page = lender_.allocate().value();
  KvPageName const name{.group = 0, .block = 0, .page = number(page), .generation = 1};
  loans_.lend(borrower, std::span(&name, 1));

  EXPECT_THROW(loans_.take_back(borrower + 1, returned(page, 1)), WireError);
  EXPECT_THROW(loans_.take_back(borrower, returned(page, 2)), WireError);
  EXPECT_THROW(loans_.take_back(borrower, returned(PageId{1}, 1)), WireError);

  EXPECT_EQ(lender_.references(page), 2u);
}

TEST_F(PageLoansTest, LoansEndWithTheBorrowersProcess) {
  PageId const page = lender_.allocate().value();
  KvPageName const name{.group = 0, .block = 0, .page = number(page), .generation = 1};
  for (int const rank : {borrower, borrower, borrower + 1}) loans_.lend(rank, std::span(&name, 1));

  loans_.end_loans_of(borrower);

  EXPECT_EQ(lender_.references(page), 2u);
  EXPECT_THROW(loans_.take_back(borrower, returned(page, 1)), WireError);
  loans_.take_back(borrower + 1, returned(page, 1));
  EXPECT_EQ(lender_.references(page), 1u);
}

TEST_F(PageLoansTest, BorrowedTablesShowTheLendersBytesAndEndAsLoans) {
  SequencePages lent(std::span(&lender_group_, 1));
  ASSERT_TRUE(lent.ensure_positions(2 * block_tokens));
  auto const names = page_names(lent, 2 * block_tokens, std::span(&lender_group_, 1));
  lender_.bytes(PageId{names[1].page})[3] = std::byte{9};
  std::span const groups(&other_group_, 1);

  SequencePages borrowed = borrow_pages(names, 2 * block_tokens, groups);
  auto fork = borrowed.fork(2 * block_tokens);

  EXPECT_EQ(other_.bytes(*borrowed.block(1)[0])[3], std::byte{9});
  EXPECT_EQ(other_.free_pages(), own_pages);
  borrowed.release_all();
  EXPECT_TRUE(take_ended_loans(groups).empty());
  fork->release_all();
  auto const ended = take_ended_loans(groups);
  ASSERT_EQ(ended.size(), 2u);
  for (ReturnedLoan const& each : ended) EXPECT_EQ(each.loans, 1u);
  EXPECT_TRUE(same_places(names, expected_names(2 * block_tokens, groups)));
}

}  // namespace
}  // namespace windlass
