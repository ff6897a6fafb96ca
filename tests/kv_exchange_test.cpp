// Pages on the move between real MPI ranks: rank 0 sends, rank 1 receives, a third rank (if there is one) interferes.
#include "mpi/kv_exchange.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <optional>
#include <random>

#include "mpi/communicators.hpp"
#include "mpi/message_transport.hpp"
#include "mpi/shared_pools.hpp"
#include "mpi/window_transport.hpp"

namespace windlass {
namespace {

constexpr int sender = 0, receiver = 1, stranger = 2;
constexpr std::uint32_t pages = 24;
constexpr Microseconds patience_us = 20'000'000;

/// Moves bytes by another transport, and damages them on their way once asked to.
class DamagingTransport final : public KvTransport {
 public:
  DamagingTransport(KvTransport& inner, std::vector<PoolRegion> pools) : inner_(inner), pools_(std::move(pools)) {}

  TransportKind kind() const override { return inner_.kind(); }
  void send(KvJob const& job) override { sends_nothing_ ? void() : inner_.send(job); }
  void receive(KvJob const& job) override { inner_.receive(job); }
  bool progress() override { return inner_.progress(); }
  bool sent(KvJob const& job) const override { return !sends_nothing_ && inner_.sent(job); }
  bool received(KvJob const& job) override {
    bool const here = inner_.received(job);
    if (here && damages_) pools_[job.pages[0].group].page(job.pages[0].local)[5] ^= std::byte{16};
    return here;
  }
  bool forget(KvJob const& job) override { return inner_.forget(job); }

  std::atomic<bool> damages_ = false, sends_nothing_ = false;

 private:
  KvTransport& inner_;
  std::vector<PoolRegion> pools_;
};

class KvExchangeTest : public testing::TestWithParam<TransportKind> {
 protected:
  KvExchangeTest() {
    for (std::size_t const page_bytes : {std::size_t{4096}, (std::size_t{256} << 10) + 64}) {
      memory_.emplace_back(page_bytes * pages);
      regions_.push_back({.base = memory_.back().data(), .page_bytes = page_bytes, .pages = pages});
    }
    KvLink const link{.first_rank = sender, .second_rank = receiver};
    if (GetParam() == TransportKind::window)
      inner_ = std::make_unique<WindowTransport>(regions_, std::span(&link, 1));
    else
      inner_ = std::make_unique<MessageTransport>(regions_);
    transport_ = std::make_unique<DamagingTransport>(*inner_, regions_);
    courier_ = std::make_unique<Courier>(CourierConfig{.job_epoch = 77});
    exchange_ =
        std::make_unique<KvExchange>(*courier_, *transport_, regions_, KvExchangeConfig{.deadline_us = patience_us});
    rank_ = courier_->world_rank();
  }
  ~KvExchangeTest() override {
    meet();
    exchange_.reset();
    courier_.reset();
  }

  /// Every rank waits here for all others, by messages: MPI is the courier's.
  void meet() {
    ++meetings_;
    for (int rank = 0; rank < courier_->world_ranks(); ++rank)
      if (rank != rank_) courier_->send(rank, Hello{.model_low = meetings_});
    for (int rank = 1; rank < courier_->world_ranks(); ++rank) {
      auto const hello = courier_->receive(Inbox::controller, std::chrono::microseconds(patience_us));
      ASSERT_TRUE(hello) << "rank " << rank_ << " waits at meeting " << meetings_;
    }
  }

  void fill(std::uint32_t seed) {
    for (std::size_t group = 0; group < memory_.size(); ++group)
      for (std::uint32_t page = 0; page < pages; ++page) {
        auto const bytes = regions_[group].page(page);
        for (std::size_t i = 0; i < bytes.size(); i += 8) {
          std::uint64_t const word = (std::uint64_t(seed) << 40) + (group << 36) + (std::uint64_t(page) << 28) + i;
          std::memcpy(bytes.data() + i, &word, 8);
        }
      }
  }

  /// Some pages of both groups, another order on either side.
  std::vector<PagePair> pairs(std::uint32_t count, std::uint32_t first) const {
    std::vector<PagePair> all;
    for (std::uint32_t group = 0; group < 2; ++group)
      for (std::uint32_t i = 0; i < count; ++i)
        all.push_back({.group = group, .local = rank_ == sender ? i : (first + 7 * i) % pages});
    return all;
  }

  void offer(std::uint64_t transfer, std::uint32_t count) {
    HandoffOffer const offer{.transfer = transfer, .pages = 2 * count};
    exchange_->offer({.transfer = transfer,
                      .to_rank = receiver,
                      .pages = pairs(count, 0),
                      .offer = encode(offer, courier_->job_epoch())});
  }

  std::optional<Envelope> next(Tag tag) {
    Microseconds const end = now_us() + patience_us;
    while (now_us() < end)
      if (auto envelope = courier_->receive(Inbox::worker, std::chrono::milliseconds(50)))
        if (envelope->tag() == tag) return envelope;
    ADD_FAILURE() << "rank " << rank_ << " waited in vain for message " << std::uint32_t(tag);
    return std::nullopt;
  }

  void grant_next(std::uint32_t count, std::uint32_t first) {
    auto const envelope = next(Tag::handoff_offer);
    ASSERT_TRUE(envelope);
    auto const offer = decode<HandoffOffer>(envelope->frame);
    exchange_->grant({.transfer = offer.transfer,
                      .from_rank = envelope->source_rank,
                      .pages = pairs(count, first),
                      .generations = std::vector<std::uint32_t>(2 * count, 1)});
  }

  KvEvent event() {
    auto const envelope = next(Tag::kv_event);
    return envelope ? decode<KvEvent>(envelope->frame) : KvEvent{};
  }

  bool page_is(std::uint32_t group, PagePair pair, std::uint32_t seed, std::uint32_t origin) const {
    auto const bytes = regions_[group].page(pair.local);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + i, 8);
      if (word != (std::uint64_t(seed) << 40) + (std::uint64_t(group) << 36) + (std::uint64_t(origin) << 28) + i)
        return false;
    }
    return true;
  }

  std::vector<std::vector<std::byte>> memory_;
  std::vector<PoolRegion> regions_;
  std::unique_ptr<KvTransport> inner_;
  std::unique_ptr<DamagingTransport> transport_;
  std::unique_ptr<Courier> courier_;
  std::unique_ptr<KvExchange> exchange_;
  int rank_ = 0;
  std::uint64_t meetings_ = 0;
};

TEST_P(KvExchangeTest, PagesOfAllGroupsArriveWhereTheyWereGranted) {
  for (std::uint32_t round = 1; round <= 3; ++round) {
    fill(rank_ == sender ? round : 1000);
    meet();
    if (rank_ == sender) {
      offer(round, 5);
      KvEvent const sent = event();
      EXPECT_EQ(sent.outcome, HandoffOutcome::arrived);
      EXPECT_EQ(sent.kind, KvEventKind::sent);
    }
    if (rank_ == receiver) {
      grant_next(5, round);
      KvEvent const received = event();
      EXPECT_EQ(received.outcome, HandoffOutcome::arrived);
      EXPECT_EQ(received.bytes, 5 * (regions_[0].page_bytes + regions_[1].page_bytes));
      auto const granted = pairs(5, round);
      for (std::size_t i = 0; i < granted.size(); ++i)
        EXPECT_TRUE(page_is(granted[i].group, granted[i], round, std::uint32_t(i % 5)));
      EXPECT_TRUE(page_is(0, {.local = (round + 7 * 5) % pages}, 1000, (round + 7 * 5) % pages));  // its neighbour
    }
    meet();
  }
  EXPECT_EQ(exchange_->counters().damaged + exchange_->counters().late, 0);
}

TEST_P(KvExchangeTest, ManyTransfersAtOnceDoNotMix) {
  constexpr std::uint64_t transfers = 6;
  fill(rank_ == sender ? 5 : 9);
  meet();
  if (rank_ == sender)
    for (std::uint64_t transfer = 1; transfer <= transfers; ++transfer) offer(transfer, 2);
  for (std::uint64_t i = 0; i < transfers && rank_ == receiver; ++i) grant_next(2, std::uint32_t(i));
  for (std::uint64_t i = 0; i < transfers && rank_ != stranger; ++i)
    EXPECT_EQ(event().outcome, HandoffOutcome::arrived);
}

TEST_P(KvExchangeTest, DamagedBytesAreNoticedAndThePagesWaitForTheSenderToClose) {
  fill(rank_ == sender ? 3 : 4);
  transport_->damages_ = true;
  meet();
  if (rank_ == sender) {
    offer(1, 2);
    EXPECT_EQ(event().outcome, HandoffOutcome::damaged);
  }
  if (rank_ == receiver) {
    grant_next(2, 0);
    KvEvent const received = event(), closed = event();
    EXPECT_EQ(received.kind, KvEventKind::received);
    EXPECT_EQ(received.outcome, HandoffOutcome::damaged);
    EXPECT_EQ(closed.kind, KvEventKind::closed);
    EXPECT_EQ(exchange_->counters().damaged, 1);
  }
}

TEST_P(KvExchangeTest, ASilentSenderIsGivenUpAtTheDeadline) {
  exchange_.reset();
  exchange_ = std::make_unique<KvExchange>(*courier_, *transport_, regions_, KvExchangeConfig{.deadline_us = 50'000});
  transport_->sends_nothing_ = rank_ == sender;
  meet();
  if (rank_ == sender) {
    offer(1, 1);
    EXPECT_EQ(event().outcome, HandoffOutcome::late);
  }
  if (rank_ == receiver) {
    grant_next(1, 0);
    EXPECT_NE(event().outcome, HandoffOutcome::arrived);
    EXPECT_EQ(event().kind, KvEventKind::closed);
  }
}

TEST_P(KvExchangeTest, RefusedOffersGiveTheSenderItsPagesBack) {
  meet();
  if (rank_ == sender) {
    offer(4, 1);
    EXPECT_EQ(event().outcome, HandoffOutcome::refused);
  }
  if (rank_ == receiver) {
    auto const envelope = next(Tag::handoff_offer);
    exchange_->end(envelope->source_rank,
                   {.transfer = decode<HandoffOffer>(envelope->frame).transfer, .outcome = HandoffOutcome::refused});
  }
}

/// Messages that name a transfer of somebody else, of the past, or of nobody, while one is under way.
TEST_P(KvExchangeTest, ForeignStaleAndMalformedMessagesChangeNothing) {
  fill(rank_ == sender ? 6 : 8);
  meet();
  std::mt19937 random(std::uint32_t(rank_) + 1);
  std::vector<std::uint64_t> const sums(4, 99);
  auto const interfere = [&](int victim) {
    for (std::uint64_t transfer = 0; transfer < 20; ++transfer) {
      std::uint32_t const count = random() % 5;
      courier_->send(victim, PagesSent{.transfer = transfer, .pages = count},
                     std::as_bytes(std::span(sums).first(std::min<std::size_t>(count, 4))));
      courier_->send(victim, PageGrant{.transfer = transfer, .pages = 0});
      courier_->send(victim, HandoffEnd{.transfer = transfer, .outcome = HandoffOutcome(random() % 9)});
      courier_->send(victim, HandoffClosed{.transfer = transfer});
      courier_->send_frame(victim, encode(HandoffClosed{.transfer = transfer}, 76));  // of another job
    }
  };
  if (rank_ == stranger)
    for (int const victim : {sender, receiver}) interfere(victim);
  if (rank_ == sender) {
    for (std::uint64_t transfer = 50; transfer < 60; ++transfer)  // of transfers that never were
      courier_->send(receiver, PagesSent{.transfer = transfer, .pages = 4}, std::as_bytes(std::span(sums)));
    offer(7, 3);
    EXPECT_EQ(event().outcome, HandoffOutcome::arrived);
  }
  if (rank_ == receiver) {
    grant_next(3, 2);
    EXPECT_EQ(event().outcome, HandoffOutcome::arrived);
    for (std::uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(page_is(1, {.group = 1, .local = (2 + 7 * i) % pages}, 6, i));
    EXPECT_GE(exchange_->counters().stale_messages, 10);
  }
}

INSTANTIATE_TEST_SUITE_P(Transports, KvExchangeTest, testing::Values(TransportKind::window, TransportKind::message),
                         [](auto const& info) { return std::string(transport_name(info.param)); });

constexpr KvShape small_shape{.layers = 1, .kv_heads = 1, .head_dim = 16};
constexpr std::uint32_t pages_of_rank = 4;

TEST(SharedPools, APageHasOneNumberAndTheSameBytesOnEveryRank) {
  auto const [own, ranks] = std::pair(world_place().world_rank, world_place().world_ranks);
  SharedPools pools(SharedPools::Takes::part);
  auto const memory = pools.reserve(small_shape.page_bytes(), pages_of_rank);
  ASSERT_TRUE(memory) << pools.problem();
  ASSERT_TRUE(pools.connect()) << pools.problem();
  PagePool pool({.shape = small_shape, .pages = pages_of_rank, .memory = memory});

  PageId const page = pool.allocate().value();
  pool.bytes(page)[0] = std::byte(own + 1);
  gather_from_all({});

  EXPECT_EQ(number(page), std::uint32_t(own) * pages_of_rank);
  for (int rank = 0; rank < ranks; ++rank) {
    PageId const first{std::uint32_t(rank) * pages_of_rank};
    EXPECT_EQ(pool.bytes(first)[0], std::byte(rank + 1));
    EXPECT_TRUE(pools.reaches(rank));
    EXPECT_EQ(pools.owner(0, number(first)), rank);
  }
  EXPECT_EQ(pools.owner(0, std::uint32_t(ranks) * pages_of_rank), -1);
  EXPECT_FALSE(pools.reaches(ranks));
}

TEST(SharedPools, WhereOneRankHasNoRoomNobodySharesAndAllKnowWhy) {
  int const own = world_place().world_rank;
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit const little{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  SharedPools pools(SharedPools::Takes::part);

  if (own == 1) ::setrlimit(RLIMIT_FSIZE, &little);
  auto const memory = pools.reserve(small_shape.page_bytes(), pages_of_rank);
  ::setrlimit(RLIMIT_FSIZE, &before);

  EXPECT_EQ(memory == nullptr, own == 1);
  EXPECT_FALSE(pools.connect());
  EXPECT_NE(pools.problem().find("rank 1 cannot have"), std::string::npos) << pools.problem();
  EXPECT_FALSE(pools.reaches(0));
}

TEST(SharedPools, RanksWithoutPagesAreLeftOut) {
  int const own = world_place().world_rank, ranks = world_place().world_ranks;
  bool const takes = own != 1;
  SharedPools pools(takes ? SharedPools::Takes::part : SharedPools::Takes::no_part);

  EXPECT_EQ(pools.takes_part(), takes);
  if (takes) {
    EXPECT_TRUE(pools.reserve(small_shape.page_bytes(), pages_of_rank));
  }
  ASSERT_TRUE(pools.connect()) << pools.problem();
  for (int rank = 0; rank < ranks; ++rank) EXPECT_EQ(pools.reaches(rank), takes && rank != 1);
}

}  // namespace
}  // namespace windlass
