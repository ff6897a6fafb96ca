#include "mpi/kv_exchange.hpp"

#include <algorithm>

#include "src/core/checksum.hpp"
#include "src/core/error.hpp"

namespace windlass {

KvExchange::KvExchange(Courier& courier, KvTransport& transport, std::vector<PoolRegion> pools,
                       KvExchangeConfig const& config)
    : courier_(courier), transport_(transport), pools_(std::move(pools)), config_(config) {
  courier_.set_task(this);
}

KvExchange::~KvExchange() { courier_.remove_task(); }

template <class Change>
void KvExchange::count(Change change) {
  std::lock_guard const lock(mutex_);
  change(counts_);
}

KvCounters KvExchange::counters() const {
  std::lock_guard const lock(mutex_);
  return counts_;
}

void KvExchange::offer(OutgoingKv outgoing) {
  courier_.post([this, own = std::make_shared<OutgoingKv>(std::move(outgoing))] {
    Microseconds const now = now_us();
    KvJob job{.transfer = own->transfer, .peer_rank = own->to_rank, .pages = std::move(own->pages)};
    outgoing_[{own->to_rank, own->transfer}] = {.job = std::move(job),
                                                .stage = Stage::offered,
                                                .begun_us = now,
                                                .deadline_us = now + config_.deadline_us,
                                                .moving_us = own->work_us};
    courier_.send_frame(own->to_rank, std::move(own->offer));
  });
}

void KvExchange::grant(IncomingKv incoming) {
  courier_.post([this, own = std::make_shared<IncomingKv>(std::move(incoming))] {
    Microseconds const now = now_us();
    KvJob job{.transfer = own->transfer, .peer_rank = own->from_rank, .pages = std::move(own->pages)};
    transport_.receive(job);
    std::vector<GrantedPage> granted;
    for (std::size_t i = 0; i < job.pages.size(); ++i)
      granted.push_back(
          {.page = job.pages[i].local - pools_[job.pages[i].group].first_page, .generation = own->generations.at(i)});
    courier_.send(own->from_rank, PageGrant{.transfer = own->transfer, .pages = std::uint32_t(granted.size())},
                  std::as_bytes(std::span(granted)));
    incoming_[{own->from_rank, own->transfer}] = {
        .job = std::move(job), .stage = Stage::granted, .begun_us = now, .deadline_us = now + config_.deadline_us};
  });
}

void KvExchange::end(int from_rank, End const& end) {
  if (end.outcome == HandoffOutcome::refused) count([](KvCounters& counts) { ++counts.refused; });
  courier_.send(from_rank, HandoffEnd{.transfer = end.transfer,
                                      .outcome = end.outcome,
                                      .work_us = std::uint32_t(std::min<Microseconds>(end.work_us, UINT32_MAX))});
}

void KvExchange::receive(Envelope envelope) {
  auto const& frame = envelope.frame;
  int const peer = envelope.source_rank;
  Tag const tag = envelope.tag();
  if (tag == Tag::page_grant) {
    take_grant({peer, decode<PageGrant>(frame).transfer}, frame);
  } else if (tag == Tag::pages_sent) {
    take_sent({peer, decode<PagesSent>(frame).transfer}, frame);
  } else if (tag == Tag::handoff_end) {
    auto const message = decode<HandoffEnd>(frame);
    if (message.outcome > last_outcome) throw WireError("handoff end: unknown outcome");
    take_end({peer, message.transfer}, message);
  } else {
    take_closed({peer, decode<HandoffClosed>(frame).transfer});
  }
}

void KvExchange::take_grant(Key key, std::span<std::byte const> frame) {
  auto const at = outgoing_.find(key);
  auto const granted = tail_elements<GrantedPage>(tail_of(frame), decode<PageGrant>(frame).pages);
  if (at == outgoing_.end() || at->second.stage != Stage::offered) {
    count([](KvCounters& counts) { ++counts.stale_messages; });
    if (at == outgoing_.end()) courier_.send(key.first, HandoffClosed{.transfer = key.second});
    return;
  }
  KvJob& job = at->second.job;
  if (granted.size() != job.pages.size()) throw WireError("page grant: not as many pages as were offered");
  for (std::size_t i = 0; i < granted.size(); ++i) job.pages[i].remote = granted[i].page;
  at->second.moving_since_us = now_us();
  transport_.send(job);
  at->second.stage = Stage::sending;
}

void KvExchange::take_sent(Key key, std::span<std::byte const> frame) {
  auto const at = incoming_.find(key);
  auto checksums = tail_elements<std::uint64_t>(tail_of(frame), decode<PagesSent>(frame).pages);
  bool const expected =
      at != incoming_.end() && at->second.stage == Stage::granted && checksums.size() == at->second.job.pages.size();
  if (!expected) return count([](KvCounters& counts) { ++counts.stale_messages; });
  at->second.checksums = std::move(checksums);
  at->second.stage = Stage::arriving;
}

void KvExchange::take_end(Key key, HandoffEnd const& message) {
  auto const at = outgoing_.find(key);
  if (at != outgoing_.end()) {
    at->second.moving_us += message.work_us;
    return finish_sender(at, message.outcome, now_us());
  }
  count([](KvCounters& counts) { ++counts.stale_messages; });
  if (message.outcome != HandoffOutcome::arrived) courier_.send(key.first, HandoffClosed{.transfer = key.second});
}

void KvExchange::take_closed(Key key) {
  auto const at = incoming_.find(key);
  if (at == incoming_.end() || at->second.stage == Stage::closing)
    return count([](KvCounters& counts) { ++counts.stale_messages; });
  if (at->second.stage != Stage::ended) finish_receiver(at->second, HandoffOutcome::lost, now_us());
  at->second.stage = Stage::closing;
}

/// What it was granted may be used again once it is known to write no more; messages that are not received never
/// arrive.
void KvExchange::peer_lost(int rank, RankFate fate) {
  Microseconds const now = now_us();
  for (auto at = outgoing_.begin(); at != outgoing_.end();) {
    auto const next = std::next(at);
    if (at->first.first == rank) finish_sender(at, HandoffOutcome::lost, now);
    at = next;
  }
  bool const quiet = fate == RankFate::ended || transport_.kind() == TransportKind::message;
  for (auto& [key, transfer] : incoming_) {
    if (key.first != rank) continue;
    if (transfer.stage == Stage::granted || transfer.stage == Stage::arriving)
      finish_receiver(transfer, HandoffOutcome::lost, now);
    if (quiet && transfer.stage == Stage::ended) transfer.stage = Stage::closing;
  }
}

void KvExchange::clock_jumped(Microseconds by_us) {
  for (Transfers* const transfers : {&outgoing_, &incoming_})
    for (auto& [key, transfer] : *transfers) transfer.deadline_us += by_us;
}

bool KvExchange::progress(Microseconds now) {
  bool any = transport_.progress();
  for (auto at = outgoing_.begin(); at != outgoing_.end();) {
    auto const next = std::next(at);
    if (now > at->second.deadline_us) {
      finish_sender(at, HandoffOutcome::late, now);
      any = true;
    } else {
      any |= advance_sender(at->second);
    }
    at = next;
  }
  for (auto at = incoming_.begin(); at != incoming_.end();) {
    auto const next = std::next(at);
    any |= advance_receiver(at->second, now);
    if (at->second.stage == Stage::told) incoming_.erase(at);
    at = next;
  }
  return any;
}

bool KvExchange::advance_sender(Transfer& transfer) {
  if (transfer.stage != Stage::sending) return false;
  if (transfer.checksums.size() < transfer.job.pages.size()) {  // one after the other, while the bytes move
    transfer.checksums.push_back(checksum_of(transfer.job, transfer.checksums.size(), courier_.world_rank()));
    return true;
  }
  if (!transport_.sent(transfer.job)) return false;
  auto const& checksums = transfer.checksums;
  courier_.send(transfer.job.peer_rank,
                PagesSent{.transfer = transfer.job.transfer, .pages = std::uint32_t(checksums.size())},
                std::as_bytes(std::span(checksums)));
  transfer.stage = Stage::told;
  transfer.moving_us = now_us() - transfer.moving_since_us;
  return true;
}

/// A transfer that has arrived ends as `told`. One that has not stays as `ended` until its sender has closed it, and as
/// `closing` while bytes of it may still be on their way.
bool KvExchange::advance_receiver(Transfer& transfer, Microseconds now) {
  if (transfer.stage == Stage::ended) return false;
  if (transfer.stage == Stage::closing) {
    if (!transport_.forget(transfer.job)) return false;
    tell(KvEventKind::closed, transfer, HandoffOutcome::lost, now);
    transfer.stage = Stage::told;
    return true;
  }
  bool const here = transfer.stage == Stage::arriving && transport_.received(transfer.job);
  if (!here && now <= transfer.deadline_us) return false;
  HandoffOutcome outcome = HandoffOutcome::late;
  if (here) outcome = intact(transfer) ? HandoffOutcome::arrived : HandoffOutcome::damaged;
  finish_receiver(transfer, outcome, now_us());
  return true;
}

void KvExchange::finish_sender(Transfers::iterator at, HandoffOutcome outcome, Microseconds now) {
  Transfer const& transfer = at->second;
  transport_.forget(transfer.job);
  tell(KvEventKind::sent, transfer, outcome, now);
  count([&](KvCounters& counts) {
    if (outcome != HandoffOutcome::arrived) return;
    counts.sent_pages += std::int64_t(transfer.job.pages.size());
    counts.sent_bytes += std::int64_t(bytes_of(transfer.job));
    counts.sent_microseconds += now - transfer.begun_us;
  });
  bool const granted = outcome != HandoffOutcome::arrived && outcome != HandoffOutcome::refused;
  if (granted) courier_.send(transfer.job.peer_rank, HandoffClosed{.transfer = transfer.job.transfer});
  outgoing_.erase(at);
}

void KvExchange::finish_receiver(Transfer& transfer, HandoffOutcome outcome, Microseconds now) {
  transport_.forget(transfer.job);
  bool const arrived = outcome == HandoffOutcome::arrived;
  transfer.stage = arrived ? Stage::told : Stage::ended;
  count([&](KvCounters& counts) {
    counts.damaged += outcome == HandoffOutcome::damaged;
    counts.late += outcome == HandoffOutcome::late;
    counts.lost += outcome == HandoffOutcome::lost;
    if (!arrived) return;
    counts.pages += std::int64_t(transfer.job.pages.size());
    counts.bytes += std::int64_t(bytes_of(transfer.job));
    counts.microseconds += now - transfer.begun_us;
  });
  courier_.send(transfer.job.peer_rank, HandoffEnd{.transfer = transfer.job.transfer, .outcome = outcome});
  tell(KvEventKind::received, transfer, outcome, now);
}

std::uint64_t KvExchange::checksum_of(KvJob const& job, std::size_t index, int sender_rank) const {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
  std::uint64_t const name = (courier_.job_epoch() * odd + std::uint64_t(sender_rank)) * odd + job.transfer;
  PagePair const& pair = job.pages[index];
  return checksum(pools_[pair.group].page(pair.local), name * odd + index);
}

/// Compares page by page: the first damaged one is enough.
bool KvExchange::intact(Transfer const& transfer) const {
  for (std::size_t i = 0; i < transfer.checksums.size(); ++i)
    if (checksum_of(transfer.job, i, transfer.job.peer_rank) != transfer.checksums[i]) return false;
  return true;
}

std::uint64_t KvExchange::bytes_of(KvJob const& job) const {
  std::uint64_t bytes = 0;
  for (PagePair const& pair : job.pages) bytes += pools_[pair.group].page_bytes;
  return bytes;
}

void KvExchange::tell(KvEventKind kind, Transfer const& transfer, HandoffOutcome outcome, Microseconds now) {
  courier_.send(courier_.world_rank(), KvEvent{.transfer = transfer.job.transfer,
                                               .bytes = bytes_of(transfer.job),
                                               .microseconds = std::uint64_t(now - transfer.begun_us),
                                               .moving_us = std::uint64_t(transfer.moving_us),
                                               .ended_us = std::uint64_t(now),
                                               .peer_rank = std::uint32_t(transfer.job.peer_rank),
                                               .kind = kind,
                                               .outcome = outcome});
}

}  // namespace windlass
