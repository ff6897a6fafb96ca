#include <algorithm>

#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/kv/page_pool.hpp"
#include "src/serve/wire_request.hpp"
#include "src/serve/worker.hpp"

namespace windlass {
namespace {

std::vector<PagePair> local_pages(std::vector<KvPageName> const& names) {
  std::vector<PagePair> pairs;
  for (KvPageName const& name : names) pairs.push_back({.group = name.group, .local = name.page});
  return pairs;
}

/// Tokens of a request that came from another instance, which has told them.
std::vector<std::uint32_t> told_elsewhere(DetachedRequest const& request) {
  std::vector<std::uint32_t> told(std::size_t(request.request.choices));
  for (DetachedChoice const& choice : request.choices)
    told[std::size_t(choice.choice)] = std::uint32_t(choice.tokens.size());
  return told;
}

}  // namespace

void Worker::hand_off_held() {
  for (RequestId const request : engine_.take_held()) {
    auto const at = assignments_.find(request);
    auto detached = engine_.detach(request);
    if (at == assignments_.end() || !detached) continue;  // cancelled
    Assignment const assignment = at->second;
    assignments_.erase(at);
    offer({.detached = std::move(*detached), .assignment = assignment});
  }
}

void Worker::offer(Outgoing outgoing) {
  if (lost_ranks_.contains(outgoing.assignment.decode_rank)) return;
  Microseconds const since_us = now_us();
  DetachedRequest const& detached = outgoing.detached;
  if (config_.staging != nullptr && detached.computed > 0 && !outgoing.staged) {
    outgoing.staged = config_.staging->gather(detached.pages, detached.computed);
    if (!outgoing.staged) {
      retries_.push_back({.at_us = now_us() + config_.retry_us, .outgoing = std::move(outgoing)});
      return;
    }
  }
  auto const names = page_names(outgoing.pages(), detached.computed, whole_groups());
  int const to_rank = outgoing.assignment.decode_rank;
  outgoing.lends = !names.empty() && can_lend(outgoing);
  if (outgoing.lends) loans_.lend(to_rank, names);
  WireWriter tail;
  for (KvPageName const& name : names) tail.put(name);
  auto bytes = tail.take();
  auto const progress = encode_progress(detached, now_us());
  bytes.insert(bytes.end(), progress.begin(), progress.end());
  KvShape const& shape = whole_groups()[0].pool->shape();
  HandoffOffer const message{
      .transfer = next_transfer_++,
      .request = number(detached.request.id),
      .request_epoch = outgoing.assignment.epoch,
      .part = {.end_layer = std::uint32_t(shape.layers), .end_head = std::uint32_t(shape.kv_heads)},
      .pages = std::uint32_t(names.size()),
      .computed_tokens = std::uint32_t(detached.computed),
      .transport = std::uint32_t(outgoing.lends ? TransportKind::shared : TransportKind::message)};
  exchange_->offer({.transfer = message.transfer,
                    .to_rank = to_rank,
                    .pages = local_pages(names),
                    .offer = encode(message, courier_.job_epoch(), bytes),
                    .work_us = outgoing.lends ? now_us() - since_us : 0});
  outgoing_.emplace(message.transfer, std::move(outgoing));
}

/// Pages that are lent are missing here until the request is answered: where few are left, copies set them free.
bool Worker::can_lend(Outgoing const& outgoing) const {
  bool const reaches = config_.shared != nullptr && config_.shared->reaches(outgoing.assignment.decode_rank);
  return reaches && !outgoing.staged && loans_.share() <= config_.most_lent_share;
}

/// A request without pages goes on at once: its prompt is computed again. Otherwise its pages change hands, or pages
/// for copies of them are granted as soon as there is room.
void Worker::take_offer(Envelope const& envelope) {
  if (lost_ranks_.contains(envelope.source_rank)) return;
  ArrivedOffer arrived{.from_rank = envelope.source_rank,
                       .message = decode<HandoffOffer>(envelope.frame),
                       .names = {},
                       .request = {.pages = SequencePages(engine_.groups())},
                       .since_us = now_us()};
  HandoffOffer const& offer = arrived.message;
  std::span<std::byte const> rest;
  arrived.names = tail_elements<KvPageName>(tail_of(envelope.frame), offer.pages, &rest);
  RequestProgress progress = decode_progress(rest, now_us());
  RequestId const id{offer.request};
  auto const known = assignments_.find(id);  // the sender may have given up an offer that had arrived
  bool const is_here = known != assignments_.end() && known->second.epoch >= offer.request_epoch;
  if (is_here || !is_wanted(id, offer.request_epoch)) return decline(arrived, HandoffOutcome::arrived);
  drop(id, offer.request_epoch);
  DetachedRequest& request = arrived.request;
  request.request = std::move(progress.request);
  request.answer = std::move(progress.answer);
  request.choices = std::move(progress.choices);
  request.unfinished = progress.unfinished;
  if (offer.pages == 0) return go_on_with(std::move(arrived));
  request.computed = int(offer.computed_tokens);
  if (offer.transport == std::uint32_t(TransportKind::shared)) return borrow(std::move(arrived));
  if (!same_places(expected_names(request.computed, whole_groups()), arrived.names))
    return decline(arrived, HandoffOutcome::damaged);
  auto pages = engine_.reserve(request.computed);
  if (config_.staging != nullptr) arrived.staged = config_.staging->reserve(request.computed);
  if (!pages || (config_.staging != nullptr && !arrived.staged)) return decline(arrived, HandoffOutcome::refused);
  request.pages = std::move(*pages);
  grant(std::move(arrived));
}

/// It goes on here, with the pages that it has.
void Worker::go_on_with(ArrivedOffer arrived) {
  assignments_[RequestId{arrived.message.request}] = {.epoch = arrived.message.request_epoch,
                                                      .decode_rank = courier_.world_rank(),
                                                      .told = told_elsewhere(arrived.request)};
  engine_.attach(std::move(arrived.request));
  exchange_->end(arrived.from_rank, {.transfer = arrived.message.transfer, .work_us = now_us() - arrived.since_us});
}

/// `arrived`: the request is here already, or nobody wants it any more, and its sender may forget it.
void Worker::decline(ArrivedOffer const& offer, HandoffOutcome outcome) {
  if (offer.message.transport == std::uint32_t(TransportKind::shared)) {
    std::vector<ReturnedLoan> loans;
    for (KvPageName const& name : offer.names) loans.push_back({.group = name.group, .page = name.page, .loans = 1});
    give_back(offer.from_rank, loans);
  }
  exchange_->end(offer.from_rank, {.transfer = offer.message.transfer, .outcome = outcome});
}

/// The pages become the request's as they are: they are read and written where they lie.
void Worker::borrow(ArrivedOffer arrived) {
  auto const is_its_own = [&](KvPageName const& name) {
    return name.group < engine_.groups().size() && config_.shared->owner(name.group, name.page) == arrived.from_rank;
  };
  bool const right = config_.shared != nullptr && config_.shared->reaches(arrived.from_rank) &&
                     same_places(expected_names(arrived.request.computed, engine_.groups()), arrived.names) &&
                     std::all_of(arrived.names.begin(), arrived.names.end(), is_its_own);
  if (!right) return decline(arrived, HandoffOutcome::damaged);
  arrived.request.pages = borrow_pages(arrived.names, arrived.request.computed, engine_.groups());
  arrived.request.owner = PageOwner::lender;
  go_on_with(std::move(arrived));
}

void Worker::grant(ArrivedOffer arrived) {
  SequencePages const& pages = arrived.staged ? *arrived.staged : arrived.request.pages;
  auto const names = page_names(pages, arrived.request.computed, whole_groups());
  IncomingKv incoming{
      .transfer = arrived.message.transfer, .from_rank = arrived.from_rank, .pages = local_pages(names)};
  for (KvPageName const& name : names) incoming.generations.push_back(name.generation);
  incoming_.emplace(TransferKey(arrived.from_rank, arrived.message.transfer),
                    Incoming{.request = std::move(arrived.request),
                             .pages = SequencePages(engine_.groups()),
                             .staged = std::move(arrived.staged),
                             .epoch = arrived.message.request_epoch});
  exchange_->grant(std::move(incoming));
}

void Worker::give_back(int lender, std::vector<ReturnedLoan> const& loans) {
  courier_.send(lender, PagesReturned{.pages = loans.size()}, std::as_bytes(std::span(loans)));
}

/// Each lender gets its own pages back.
void Worker::return_loans() {
  if (config_.shared == nullptr) return;
  std::map<int, std::vector<ReturnedLoan>> by_lender;
  for (ReturnedLoan const& each : take_ended_loans(engine_.groups()))
    by_lender[config_.shared->owner(each.group, each.page)].push_back(each);
  for (auto const& [lender, loans] : by_lender) give_back(lender, loans);
}

void Worker::take_event(KvEvent const& event) {
  switch (event.kind) {
    case KvEventKind::sent:
      return finish_outgoing(event);
    case KvEventKind::received:
      return finish_incoming(event);
    case KvEventKind::closed:
      incoming_.erase({int(event.peer_rank), event.transfer});
      return;
  }
}

void Worker::finish_outgoing(KvEvent const& event) {
  auto const at = outgoing_.find(event.transfer);
  if (at == outgoing_.end()) return;
  Outgoing outgoing = std::move(at->second);
  outgoing_.erase(at);
  if (lost_ranks_.contains(int(event.peer_rank))) return;
  if (event.outcome == HandoffOutcome::refused) {
    retries_.push_back({.at_us = now_us() + config_.retry_us, .outgoing = std::move(outgoing)});
    return;
  }
  tell_moved(outgoing, event);
  if (event.outcome == HandoffOutcome::arrived) return;
  log_warning(text("rank ", courier_.world_rank(), ": KV for rank ", event.peer_rank,
                   " did not arrive intact or in time; it computes the prompt again"));
  outgoing.detached.pages.release_all();
  outgoing.detached.computed = 0;
  outgoing.staged.reset();
  offer(std::move(outgoing));
}

void Worker::tell_moved(Outgoing const& outgoing, KvEvent const& event) {
  if (config_.trace != nullptr) {
    config_.trace->add_transfer(outgoing.lends ? TraceSpanKind::kv_lent : TraceSpanKind::kv_sent, event);
    send_trace();
  }
  auto const names = page_names(outgoing.pages(), outgoing.detached.computed, whole_groups());
  courier_.send(config_.controller_rank, Moved{.request = number(outgoing.detached.request.id),
                                               .request_epoch = outgoing.assignment.epoch,
                                               .bytes = event.bytes,
                                               .pages = names.size(),
                                               .microseconds = event.microseconds,
                                               .moving_us = event.moving_us,
                                               .decode_rank = event.peer_rank,
                                               .arrived = event.outcome == HandoffOutcome::arrived,
                                               .shared = outgoing.lends});
}

void Worker::finish_incoming(KvEvent const& event) {
  auto const at = incoming_.find({int(event.peer_rank), event.transfer});
  if (at == incoming_.end() || !at->second.request) return;
  if (event.outcome != HandoffOutcome::arrived) {  // the sender may still write there
    if (!at->second.staged) at->second.pages = std::move(at->second.request->pages);
    at->second.request.reset();
    return;
  }
  if (config_.trace != nullptr) config_.trace->add_transfer(TraceSpanKind::kv_received, event);
  RequestId const id = at->second.request->request.id;
  if (is_wanted(id, at->second.epoch)) {
    drop(id, at->second.epoch);
    DetachedRequest const& request = *at->second.request;
    assignments_[id] = {
        .epoch = at->second.epoch, .decode_rank = courier_.world_rank(), .told = told_elsewhere(request)};
    if (at->second.staged) config_.staging->scatter(*at->second.staged, request.pages, request.computed);
    engine_.attach(std::move(*at->second.request));
  }
  incoming_.erase(at);
}

void Worker::retry_offers() {
  auto const due = [now = now_us()](Retry const& retry) { return retry.at_us <= now; };
  auto const first = std::stable_partition(retries_.begin(), retries_.end(), [&](auto const& r) { return !due(r); });
  std::vector<Retry> ready(std::make_move_iterator(first), std::make_move_iterator(retries_.end()));
  retries_.erase(first, retries_.end());
  for (Retry& retry : ready) offer(std::move(retry.outgoing));
}

}  // namespace windlass
