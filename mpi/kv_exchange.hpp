/// Hands pages from the pools of one rank to granted pages of another, and proves that what arrived is what was sent.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "mpi/courier.hpp"
#include "mpi/kv_transport.hpp"

namespace windlass {

/// A handoff as its sender starts it. Its pages must stay as they are until KvEventKind::sent.
struct OutgoingKv {
  std::uint64_t transfer = 0;  ///< unique on this rank
  int to_rank = 0;
  std::vector<PagePair> pages;  ///< `remote` is filled in from the grant
  Bytes offer;                  ///< the frame of the HandoffOffer
  Microseconds work_us = 0;     ///< that the pages have cost so far, where they change hands without a copy
};

/// A handoff as its receiver accepts it. Nobody may touch its pages until KvEventKind::received with `arrived`, or with
/// another outcome until KvEventKind::closed.
struct IncomingKv {
  std::uint64_t transfer = 0;  ///< of the offer
  int from_rank = 0;
  std::vector<PagePair> pages;             ///< `local`: granted; the same order as the offer
  std::vector<std::uint32_t> generations;  ///< of the granted pages
};

struct KvExchangeConfig {
  Microseconds deadline_us = 10'000'000;  ///< of one handoff, on either side
};

struct KvCounters {
  std::int64_t pages = 0, bytes = 0, microseconds = 0;  ///< that arrived here, from grant to proof
  std::int64_t sent_pages = 0, sent_bytes = 0, sent_microseconds = 0;
  std::int64_t damaged = 0, late = 0, refused = 0, lost = 0;  ///< handoffs
  std::int64_t stale_messages = 0;                            ///< of handoffs that are not, or no longer, under way
};

/// The protocol (README): offer, grant, bytes, sent with checksums, end. Transfers are named by (peer rank, number of
/// the sender), so that no other rank's message is taken for the peer's; checksums are salted with name, job epoch and
/// place, so that no other transfer's are taken for this one's.
class KvExchange final : public CourierTask {
 public:
  /// The courier must outlive this; the transport and the pools too, whose regions are [groups].
  KvExchange(Courier& courier, KvTransport& transport, std::vector<PoolRegion> pools, KvExchangeConfig const& config);
  ~KvExchange() override;

  // Safe from any thread.
  void offer(OutgoingKv outgoing);
  void grant(IncomingKv incoming);
  /// Instead of a grant, or for an offer without pages.
  struct End {
    std::uint64_t transfer = 0;
    HandoffOutcome outcome = HandoffOutcome::arrived;
    Microseconds work_us = 0;  ///< see HandoffEnd
  };
  void end(int from_rank, End const& end);
  KvCounters counters() const;

  bool progress(Microseconds now_us) override;
  void receive(Envelope envelope) override;
  void peer_lost(int rank, RankFate fate) override;
  void clock_jumped(Microseconds by_us) override;

 private:
  using Key = std::pair<int, std::uint64_t>;  // peer rank, transfer
  enum class Stage : std::uint8_t { offered, granted, sending, told, arriving, ended, closing };
  struct Transfer {
    KvJob job;
    Stage stage = Stage::offered;
    Microseconds begun_us = 0, deadline_us = 0;
    Microseconds moving_since_us = 0, moving_us = 0;
    std::vector<std::uint64_t> checksums;  // [pages]
  };
  using Transfers = std::map<Key, Transfer>;

  void take_grant(Key key, std::span<std::byte const> frame);
  void take_sent(Key key, std::span<std::byte const> frame);
  void take_end(Key key, HandoffEnd const& message);
  void take_closed(Key key);
  bool advance_sender(Transfer& transfer);
  bool advance_receiver(Transfer& transfer, Microseconds now_us);
  void finish_sender(Transfers::iterator at, HandoffOutcome outcome, Microseconds now_us);
  void finish_receiver(Transfer& transfer, HandoffOutcome outcome, Microseconds now_us);
  std::uint64_t checksum_of(KvJob const& job, std::size_t index, int sender_rank) const;
  bool intact(Transfer const& transfer) const;
  std::uint64_t bytes_of(KvJob const& job) const;
  void tell(KvEventKind kind, Transfer const& transfer, HandoffOutcome outcome, Microseconds now_us);
  template <class Change>
  void count(Change change);

  Courier& courier_;
  KvTransport& transport_;
  std::vector<PoolRegion> const pools_;
  KvExchangeConfig const config_;
  Transfers outgoing_, incoming_;  // of the MPI thread
  mutable std::mutex mutex_;
  KvCounters counts_;
};

}  // namespace windlass
