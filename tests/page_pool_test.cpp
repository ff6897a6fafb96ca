#include "src/kv/page_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr KvShape small_shape{.layers = 2, .kv_heads = 1, .head_dim = 4, .format = KvFormat::bf16};

TEST(PagePool, GivesEveryPageOnceAndThenNothing) {
  PagePool pool({.shape = small_shape, .pages = 3});

  std::set<PageId> given;
  for (int i = 0; i < 3; ++i) given.insert(pool.allocate().value());

  EXPECT_EQ(given.size(), 3u);
  EXPECT_FALSE(pool.allocate());
  EXPECT_EQ(pool.free_pages(), 0u);
}

TEST(PagePool, ReusesThePageFreedLast) {
  PagePool pool({.shape = small_shape, .pages = 10});
  PageId const a = *pool.allocate(), b = *pool.allocate();

  pool.release(b);
  pool.release(a);

  EXPECT_EQ(pool.allocate(), a);
  EXPECT_EQ(pool.allocate(), b);
}

TEST(PagePool, FreesAPageWithItsLastReference) {
  PagePool pool({.shape = small_shape, .pages = 1});
  PageId const page = *pool.allocate();
  pool.retain(page);

  pool.release(page);
  EXPECT_FALSE(pool.allocate());
  pool.release(page);

  EXPECT_EQ(pool.references(page), 0u);
  EXPECT_TRUE(pool.allocate());
}

TEST(PagePool, ContentsNeverReachTheNextOwner) {
  PagePool pool({.shape = small_shape, .pages = 2});
  PageId const page = *pool.allocate();
  std::ranges::fill(pool.bytes(page), std::byte{0xff});
  auto const before = pool.generation(page);
  pool.release(page);

  ASSERT_EQ(pool.allocate(), page);

  EXPECT_TRUE(std::ranges::all_of(pool.bytes(page), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_NE(pool.generation(page), before);
}

TEST(PagePool, PagesDoNotOverlapAndTheViewFindsThem) {
  PagePool pool({.shape = small_shape, .pages = 2});
  PageId const a = *pool.allocate(), b = *pool.allocate();

  std::ranges::fill(pool.bytes(b), std::byte{1});

  EXPECT_TRUE(std::ranges::all_of(pool.bytes(a), [](std::byte x) { return x == std::byte{0}; }));
  KvView const view = pool.view(1);
  EXPECT_EQ(view.base + number(b) * view.shape.page_bytes(), pool.bytes(b).data());
  EXPECT_EQ(view.layer, 1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.base) % 64, 0u);
}

TEST(PagePool, ReservesMoreThanTheMachineHasWithoutTouchingIt) {
  KvShape const large{.layers = 32, .kv_heads = 8, .head_dim = 128, .format = KvFormat::f32};  // 16 MiB
  PagePool pool({.shape = large, .pages = 100'000});

  EXPECT_TRUE(pool.allocate());
}

TEST(PagePool, RefusesAnEmptyOrImpossiblePool) {
  EXPECT_THROW(PagePool({.shape = small_shape, .pages = 0}), InputError);
  EXPECT_THROW(PagePool({.shape = {.layers = 1, .kv_heads = 0, .head_dim = 4}, .pages = 1}), InputError);
  EXPECT_THROW(PagePool({.shape = {.layers = -1, .kv_heads = 1, .head_dim = 4}, .pages = 1}), InputError);
  KvShape const huge{.layers = 1 << 20, .kv_heads = 1 << 10, .head_dim = 1 << 10};
  EXPECT_THROW(PagePool({.shape = huge, .pages = 0xffffffff}), InputError);
}

TEST(PagePool, PagesOfNoLayersHaveNumbersAndNoBytes) {
  PagePool pool({.shape = {.layers = 0, .kv_heads = 1, .head_dim = 4}, .pages = 2});
  PageId const first = *pool.allocate(), second = *pool.allocate();

  EXPECT_NE(first, second);
  EXPECT_FALSE(pool.allocate());
  pool.copy(first, second);
  pool.release(second);
  EXPECT_EQ(*pool.allocate(), second);  // zeroed once more
  EXPECT_TRUE(pool.bytes(second).empty());
}

TEST(PagePoolDeathTest, AFreePageCannotBeReleasedOrRetained) {
  PagePool pool({.shape = small_shape, .pages = 2});
  PageId const page = *pool.allocate();
  pool.release(page);

  EXPECT_DEATH(pool.release(page), "free page");
  EXPECT_DEATH(pool.retain(page), "free page");
  EXPECT_DEATH(pool.retain(PageId{7}), "outside");
}

TEST(PagePool, RandomUseNeverGivesAPageToTwoOwners) {
  PagePool pool({.shape = small_shape, .pages = 37});
  std::mt19937_64 random(1);
  std::vector<std::uint32_t> references(37, 0);  // the model

  for (int step = 0; step < 20'000; ++step) {
    auto const any = PageId(random() % 37);
    if (random() % 2 == 0) {
      auto const page = pool.allocate();
      ASSERT_EQ(page.has_value(), std::ranges::count(references, 0u) > 0);
      if (!page) continue;
      ASSERT_EQ(references[number(*page)], 0u);
      references[number(*page)] = 1;
    } else if (references[number(any)] > 0) {
      bool const more = random() % 3 == 0;
      more ? pool.retain(any) : pool.release(any);
      references[number(any)] += more ? 1 : -1u;
    }
    ASSERT_EQ(pool.references(any), references[number(any)]);
    ASSERT_EQ(pool.free_pages(), std::uint32_t(std::ranges::count(references, 0u)));
  }
}

}  // namespace
}  // namespace windlass
