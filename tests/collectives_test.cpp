// What the ranks of an instance exchange, and weights that they share, between real MPI ranks of this host.
#include "mpi/collectives.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "mpi/communicators.hpp"
#include "mpi/shared_weights.hpp"

namespace windlass {
namespace {

/// Every rank is in one instance. `several_hosts`: by messages, although they share a host.
std::unique_ptr<Collective> everybody(InstanceReach reach, std::uint64_t job_epoch) {
  WorldPlace const place = world_place();
  InstanceRanks ranks{.instance_rank = place.world_rank, .reach = reach, .job_epoch = job_epoch};
  ranks.world_ranks.resize(std::size_t(place.world_ranks));
  std::iota(ranks.world_ranks.begin(), ranks.world_ranks.end(), 0);
  return make_collective(ranks);
}

class CollectiveBetweenRanks : public testing::TestWithParam<InstanceReach> {};

TEST_P(CollectiveBetweenRanks, ShowsEveryRankWhatEachOneWroteTurnAfterTurn) {
  auto const group = everybody(GetParam(), 101);
  auto const degree = std::size_t(group->degree());

  for (std::size_t turn = 0; turn < 200; ++turn) {
    std::vector<std::size_t> bytes;
    for (std::size_t rank = 0; rank < degree; ++rank) bytes.push_back((turn * 977 + rank * 131) % 5000);
    auto const value = [&](std::size_t rank) { return int((turn * 7 + rank) % 251); };
    auto const own = std::size_t(group->instance_rank());
    std::memset(group->outbox(), value(own), bytes[own]);

    auto const shown = group->exchange(bytes);

    for (std::size_t rank = 0; rank < degree; ++rank)
      for (std::size_t i = 0; i < bytes[rank]; ++i) ASSERT_EQ(int(shown[rank][i]), value(rank)) << turn << " " << rank;
  }
}

TEST_P(CollectiveBetweenRanks, TellsAnnouncementsOfAnyLengthInOrder) {
  auto const group = everybody(GetParam(), 102);
  std::vector<std::vector<std::byte>> messages;
  for (std::size_t const size : {1, 300'000, 70'000, 5}) messages.emplace_back(size, std::byte(size % 200));

  for (auto const& message : messages) {
    if (group->instance_rank() == 0) {
      group->announce(message);
      continue;
    }
    auto const heard = group->await_announcement(20'000'000);
    ASSERT_TRUE(heard.has_value());
    EXPECT_EQ(*heard, message);
  }
  gather_from_all({});  // nobody leaves before all have heard
}

/// All ranks in one instance, each a stage: what goes round comes back as it was.
TEST_P(CollectiveBetweenRanks, StagesHandOnMessagesOfAnyLengthInOrder) {
  WorldPlace const place = world_place();
  InstanceRanks ranks{.instance_rank = place.world_rank, .reach = GetParam(), .job_epoch = 108};
  ranks.stages = ranks.most_stages = place.world_ranks;
  ranks.world_ranks.resize(std::size_t(place.world_ranks));
  std::iota(ranks.world_ranks.begin(), ranks.world_ranks.end(), 0);
  auto const group = make_collective(ranks);
  int const own = group->instance_rank(), degree = group->degree();
  EXPECT_EQ(stages_of(*group), degree);
  EXPECT_EQ(stage_of(*group), own);

  for (std::size_t const size : {1, 5'000'000, 70'000, 64, 3'000'000}) {
    std::vector<std::byte> const wanted(size, std::byte(size % 251));
    std::vector<std::byte> rows(size);
    if (own == 0) group->send(1, wanted);
    group->receive((own + degree - 1) % degree, rows);
    if (own != 0) group->send((own + 1) % degree, rows);
    ASSERT_TRUE(rows == wanted) << size;
  }
  gather_from_all({});  // nobody leaves before all have received
}

INSTANTIATE_TEST_SUITE_P(Reaches, CollectiveBetweenRanks,
                         testing::Values(InstanceReach::one_host, InstanceReach::several_hosts), [](auto const& info) {
                           return info.param == InstanceReach::one_host ? "Memory" : "Messages";
                         });

TEST(SharedWeights, OneRankPacksAndTheOthersReadTheSameMemory) {
  auto shared = share_weights({.key = "a", .bytes = 100'000, .job_epoch = 103});
  ASSERT_TRUE(shared.has_value());

  EXPECT_EQ(shared->part() == SharedWeights::Part::packs, world_place().world_rank == 0);
  if (shared->part() == SharedWeights::Part::packs) {
    std::memset(shared->bytes().data(), 42, 100'000);
    shared->tell(true);
  } else {
    shared->wait();
  }

  EXPECT_EQ(shared->bytes()[99'999], std::byte{42});
}

TEST(SharedWeights, RanksWithOtherShardsShareNothing) {
  auto const own = std::to_string(world_place().world_rank);

  EXPECT_FALSE(share_weights({.key = own, .bytes = 1000, .job_epoch = 104}).has_value());
  EXPECT_FALSE(share_weights({.key = "", .bytes = 0, .job_epoch = 105}).has_value());
}

TEST(SharedWeights, WithoutRoomEveryRankTakesItsOwnCopy) {
  EXPECT_FALSE(share_weights({.key = "large", .bytes = std::size_t{1} << 50, .job_epoch = 106}).has_value());
}

TEST(SharedWeights, AFailureToPackIsToldToThoseWhoWait) {
  auto shared = share_weights({.key = "a", .bytes = 1000, .job_epoch = 107});
  ASSERT_TRUE(shared.has_value());

  if (shared->part() == SharedWeights::Part::packs)
    shared->tell(false);
  else
    EXPECT_THROW(shared->wait(), std::exception);
}

}  // namespace
}  // namespace windlass
