#include "src/serve/worker.hpp"

#include <algorithm>

#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/kv/page_pool.hpp"
#include "src/serve/wire_request.hpp"

namespace windlass {
namespace {

constexpr auto idle_patience = std::chrono::milliseconds(20);

/// Names of the pages that a sequence's next row reads, in the one order that both sides use.
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

bool same_places(std::vector<KvPageName> const& a, std::vector<KvPageName> const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](KvPageName const& x, KvPageName const& y) { return x.group == y.group && x.block == y.block; });
}

std::vector<PagePair> local_pages(std::vector<KvPageName> const& names) {
  std::vector<PagePair> pairs;
  for (KvPageName const& name : names) pairs.push_back({.group = name.group, .local = name.page});
  return pairs;
}

}  // namespace

Worker::Worker(Engine& engine, Courier& courier, KvExchange* exchange, WorkerConfig const& config)
    : engine_(engine), courier_(courier), exchange_(exchange), config_(config) {}

WorkerEnd Worker::run() {
  while (!shutdown_) {
    take_messages();
    if (!rests_) engine_.step();
    hand_off_held();
    retry_offers();
    send_answers();
    if (checkpointer_ != nullptr) tend_checkpoint();
    tell_load();
    if (courier_.silence_us(config_.controller_rank) > config_.controller_silence_us) return WorkerEnd::controller_lost;
  }
  engine_.end_followers();
  return shutdown_->failed == 0 ? WorkerEnd::done : WorkerEnd::failed;
}

void Worker::set_checkpointer(Checkpointer* checkpointer) {
  checkpointer_ = checkpointer;
  if (checkpointer_ == nullptr) return;
  checkpointer_->set_travelling([this] {
    std::vector<DetachedRequest const*> all;
    for (auto const& [transfer, outgoing] : outgoing_) all.push_back(&outgoing.detached);
    for (Retry const& retry : retries_) all.push_back(&retry.outgoing.detached);
    return all;
  });
}

void Worker::take_checkpoint_order(CheckpointOrder const& order) {
  if (checkpointer_ == nullptr) return;
  if (order.kind == CheckpointOrderKind::forget_unclaimed) return checkpointer_->forget_unclaimed();
  bool const last = order.kind == CheckpointOrderKind::last;
  Microseconds const until =
      order.time_us == std::uint64_t(never_us) ? never_us : now_us() + Microseconds(order.time_us);
  if (auto const before = checkpointer_->wait()) tell_checkpoint(before->number, before);
  checkpointer_->begin(order.number, last ? CheckpointHaste::at_once : CheckpointHaste::background, until);
  if (!last) return;
  auto const outcome = checkpointer_->wait();
  rests_ = true;
  tell_checkpoint(order.number, outcome);
}

void Worker::tend_checkpoint() {
  if (auto const outcome = checkpointer_->poll()) return tell_checkpoint(outcome->number, outcome);
  CheckpointCounts const& counts = checkpointer_->counts();
  if (counts.restored_tokens + counts.recomputed_tokens == told_tokens_) return;
  told_tokens_ = counts.restored_tokens + counts.recomputed_tokens;
  tell_checkpoint(0, std::nullopt);
}

void Worker::tell_checkpoint(std::uint64_t number, std::optional<Checkpointer::Outcome> const& outcome) {
  CheckpointPart message{.number = number};
  if (outcome && outcome->part) message = {.number = number, .written = 1, .digest = outcome->part->written.digest};
  auto const counts = std::as_bytes(std::span(&checkpointer_->counts(), 1));
  std::vector<std::byte> tail(counts.begin(), counts.end());
  std::string const problem = outcome ? outcome->problem : "";
  auto const words = std::as_bytes(std::span(problem.data(), problem.size()));
  tail.insert(tail.end(), words.begin(), words.end());
  courier_.send(config_.controller_rank, message, tail);
}

void Worker::take_messages() {
  auto patience = busy() ? std::chrono::microseconds(0) : std::chrono::microseconds(idle_patience);
  while (auto const envelope = courier_.receive(Inbox::worker, patience)) {
    patience = {};
    try {
      take(*envelope);
    } catch (WireError const& error) {
      log_warning(text("rank ", courier_.world_rank(), ": a message from rank ", envelope->source_rank,
                       " was dropped: ", error.what()));
    }
  }
}

void Worker::take(Envelope const& envelope) {
  Tag const tag = envelope.tag();
  if (tag == Tag::submit) submit(envelope);
  if (tag == Tag::cancel) cancel(envelope);
  if (tag == Tag::handoff_offer) take_offer(envelope);
  if (tag == Tag::kv_event) take_event(decode<KvEvent>(envelope.frame));
  if (tag == Tag::peer_lost) lose_peer(decode<PeerLost>(envelope.frame));
  if (tag == Tag::take_role)
    engine_.set_after_prompt(decode<TakeRole>(envelope.frame).holds != 0 ? AfterPrompt::hold : AfterPrompt::decode);
  if (tag == Tag::checkpoint_order) take_checkpoint_order(decode<CheckpointOrder>(envelope.frame));
  if (tag == Tag::shutdown && !shutdown_) shutdown_ = decode<Shutdown>(envelope.frame);
}

void Worker::submit(Envelope const& envelope) {
  auto const message = decode<Submit>(envelope.frame);
  Request request = decode_request(tail_of(envelope.frame));
  request.id = RequestId{message.request};
  if (!is_wanted(request.id, message.request_epoch)) return;
  drop(request.id, message.request_epoch - 1);
  assignments_[request.id] = {.epoch = message.request_epoch, .decode_rank = int(message.decode_rank)};
  if (checkpointer_ != nullptr)
    checkpointer_->submit(std::move(request));
  else
    engine_.submit(std::move(request));
}

void Worker::cancel(Envelope const& envelope) {
  auto const message = decode<Cancel>(envelope.frame);
  std::uint64_t& last = cancelled_[RequestId{message.request}];
  last = std::max(last, message.request_epoch);
  drop(RequestId{message.request}, message.request_epoch);
}

/// Forgets a request that started at `epoch` or before.
void Worker::drop(RequestId request, std::uint64_t epoch) {
  std::erase_if(retries_, [&](Retry const& retry) {
    return retry.outgoing.detached.request.id == request && retry.outgoing.assignment.epoch <= epoch;
  });
  auto const at = assignments_.find(request);
  if (at == assignments_.end() || at->second.epoch > epoch) return;
  assignments_.erase(at);
  engine_.cancel(request);
}

bool Worker::is_wanted(RequestId request, std::uint64_t epoch) const {
  auto const at = cancelled_.find(request);
  return at == cancelled_.end() || at->second < epoch;
}

/// Its transfers end as `lost`; the controller sends elsewhere what it had.
void Worker::lose_peer(PeerLost const& message) {
  int const rank = int(message.rank);
  lost_ranks_.insert(rank);
  courier_.give_up(rank, message.fate);
  std::erase_if(retries_, [&](Retry const& retry) { return retry.outgoing.assignment.decode_rank == rank; });
}

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
  DetachedRequest const& detached = outgoing.detached;
  if (config_.staging != nullptr && detached.computed > 0 && !outgoing.staged) {
    outgoing.staged = config_.staging->gather(detached.pages, detached.computed);
    if (!outgoing.staged) {
      retries_.push_back({.at_us = now_us() + config_.retry_us, .outgoing = std::move(outgoing)});
      return;
    }
  }
  auto const names = page_names(outgoing.pages(), detached.computed, whole_groups());
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
      .computed_tokens = std::uint32_t(detached.computed)};
  exchange_->offer({.transfer = message.transfer,
                    .to_rank = outgoing.assignment.decode_rank,
                    .pages = local_pages(names),
                    .offer = encode(message, courier_.job_epoch(), bytes)});
  outgoing_.emplace(message.transfer, std::move(outgoing));
}

/// A request without pages goes on at once: its prompt is computed again. Otherwise pages are granted as soon as there
/// is room.
void Worker::take_offer(Envelope const& envelope) {
  if (lost_ranks_.contains(envelope.source_rank)) return;
  auto const offer = decode<HandoffOffer>(envelope.frame);
  std::span<std::byte const> rest;
  auto const names = tail_elements<KvPageName>(tail_of(envelope.frame), offer.pages, &rest);
  RequestProgress progress = decode_progress(rest, now_us());
  RequestId const id{offer.request};
  auto const known = assignments_.find(id);  // the sender may have given up an offer that had arrived
  bool const is_here = known != assignments_.end() && known->second.epoch >= offer.request_epoch;
  if (is_here || !is_wanted(id, offer.request_epoch))
    return exchange_->end(envelope.source_rank, offer.transfer, HandoffOutcome::arrived);
  drop(id, offer.request_epoch);
  DetachedRequest request{.request = std::move(progress.request),
                          .answer = std::move(progress.answer),
                          .choices = std::move(progress.choices),
                          .unfinished = progress.unfinished,
                          .computed = int(offer.computed_tokens),
                          .pages = SequencePages(engine_.groups())};
  if (offer.pages > 0) {
    auto pages = engine_.reserve(request.computed);
    std::optional<SequencePages> staged;
    if (config_.staging != nullptr) staged = config_.staging->reserve(request.computed);
    if (!pages || (config_.staging != nullptr && !staged))
      return exchange_->end(envelope.source_rank, offer.transfer, HandoffOutcome::refused);
    if (!same_places(page_names(staged ? *staged : *pages, request.computed, whole_groups()), names))
      return exchange_->end(envelope.source_rank, offer.transfer, HandoffOutcome::damaged);
    request.pages = std::move(*pages);
    return accept(envelope, offer,
                  {.request = std::move(request),
                   .pages = SequencePages(engine_.groups()),
                   .staged = std::move(staged),
                   .epoch = offer.request_epoch});
  }
  request.computed = 0;
  assignments_[id] = {.epoch = offer.request_epoch, .decode_rank = courier_.world_rank()};
  engine_.attach(std::move(request));
  exchange_->end(envelope.source_rank, offer.transfer, HandoffOutcome::arrived);
}

void Worker::accept(Envelope const& envelope, HandoffOffer const& offer, Incoming incoming) {
  SequencePages const& pages = incoming.staged ? *incoming.staged : incoming.request->pages;
  auto const names = page_names(pages, incoming.request->computed, whole_groups());
  IncomingKv granted{.transfer = offer.transfer, .from_rank = envelope.source_rank, .pages = local_pages(names)};
  for (KvPageName const& name : names) granted.generations.push_back(name.generation);
  incoming_.emplace(TransferKey(envelope.source_rank, offer.transfer), std::move(incoming));
  exchange_->grant(std::move(granted));
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
  auto const names = page_names(outgoing.pages(), outgoing.detached.computed, whole_groups());
  courier_.send(config_.controller_rank, Moved{.request = number(outgoing.detached.request.id),
                                               .request_epoch = outgoing.assignment.epoch,
                                               .bytes = event.bytes,
                                               .pages = names.size(),
                                               .microseconds = event.microseconds,
                                               .decode_rank = event.peer_rank,
                                               .arrived = event.outcome == HandoffOutcome::arrived});
}

void Worker::finish_incoming(KvEvent const& event) {
  auto const at = incoming_.find({int(event.peer_rank), event.transfer});
  if (at == incoming_.end() || !at->second.request) return;
  if (event.outcome != HandoffOutcome::arrived) {  // the sender may still write there
    if (!at->second.staged) at->second.pages = std::move(at->second.request->pages);
    at->second.request.reset();
    return;
  }
  RequestId const id = at->second.request->request.id;
  if (is_wanted(id, at->second.epoch)) {
    drop(id, at->second.epoch);
    assignments_[id] = {.epoch = at->second.epoch, .decode_rank = courier_.world_rank()};
    DetachedRequest const& request = *at->second.request;
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

void Worker::send_answers() {
  auto const answers = engine_.take_answers();
  if (answers.empty()) return;
  tell_load();
  courier_.send(config_.controller_rank, Heartbeat{.load = courier_.load_of(courier_.world_rank())});
  Microseconds const now = now_us();
  for (Answer const& answer : answers) {
    auto const at = assignments_.find(answer.id);
    if (at == assignments_.end()) continue;  // cancelled
    courier_.send(config_.controller_rank, Answered{.request = number(answer.id), .request_epoch = at->second.epoch},
                  encode_answer(answer, now));
    assignments_.erase(at);
  }
}

void Worker::tell_load() {
  EngineCounters const counters = engine_.counters();
  auto const u = [](std::int64_t value) { return std::uint64_t(value); };
  LoadSnapshot const load{.running = u(counters.running),
                          .waiting = u(counters.waiting),
                          .free_pages = counters.free_pages,
                          .pages = counters.pages,
                          .steps = u(counters.steps),
                          .prompt_tokens = u(counters.prompt_tokens),
                          .cached_tokens = u(counters.cached_tokens),
                          .generated_tokens = u(counters.generated_tokens),
                          .preemptions = u(counters.preemptions),
                          .busy_us = u(counters.busy_us)};
  courier_.set_load(load);
}

}  // namespace windlass
