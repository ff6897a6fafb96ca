#include "src/core/thread_team.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

TEST(ThreadTeam, EveryItemIsDoneOnceInEveryRound) {
  ThreadTeam team({.threads = 3, .spin_us = 1});
  std::vector<std::atomic<int>> done(1000);

  for (int round = 0; round < 2000; ++round)
    team.for_parts(std::int64_t(done.size()), 7, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) ++done[std::size_t(i)];
    });

  for (auto const& count : done) EXPECT_EQ(count, 2000);
}

TEST(ThreadTeam, SleepingThreadsWakeForTheNextTask) {
  ThreadTeam team({.threads = 4, .spin_us = 0});
  std::atomic<int> calls = 0;

  for (int round = 0; round < 500; ++round) {
    team.run([&](int) { ++calls; });
    if (round % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }

  EXPECT_EQ(calls, 2000);
}

TEST(ThreadTeam, NoItemsMeansNoCalls) {
  ThreadTeam team({.threads = 2});
  team.for_parts(0, 4, [](std::int64_t, std::int64_t, int) { FAIL(); });
}

}  // namespace
}  // namespace windlass
