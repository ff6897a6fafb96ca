#include "src/serve/worker.hpp"

#include <algorithm>

#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/wire_request.hpp"

namespace windlass {
namespace {

constexpr auto idle_patience = std::chrono::milliseconds(20);
constexpr auto patience_without_room = std::chrono::milliseconds(1);  ///< while requests wait for pages

}  // namespace

Worker::Worker(Engine& engine, Courier& courier, KvExchange* exchange, WorkerConfig const& config)
    : engine_(engine), courier_(courier), exchange_(exchange), config_(config), loans_(engine.groups()) {}

WorkerEnd Worker::run() {
  while (!shutdown_) {
    Microseconds const turn_us = now_us();
    take_messages();
    compute(turn_us);
    send_deltas();
    hand_off_held();
    retry_offers();
    send_answers();
    return_loans();
    if (checkpointer_ != nullptr) tend_checkpoint();
    tell_load();
    if (config_.trace != nullptr && config_.trace->is_due()) send_trace();
    if (courier_.silence_us(config_.controller_rank) > config_.controller_silence_us) return WorkerEnd::controller_lost;
  }
  engine_.end_followers();
  if (config_.trace != nullptr) config_.trace->send(courier_, config_.controller_rank, TracePart::last);
  return shutdown_->failed == 0 ? WorkerEnd::done : WorkerEnd::failed;
}

/// A step, where there is something to compute.
void Worker::compute(Microseconds turn_us) {
  Microseconds const begin_us = now_us();
  EngineCounters const before = engine_.counters();
  if (!rests_) engine_.step();
  EngineCounters const after = engine_.counters();
  stepped_ = after.steps != before.steps;
  if (config_.trace == nullptr) return;
  config_.trace->add_step(begin_us, before, after);
  if (!stepped_) config_.trace->add_wait(turn_us);
}

/// Before what makes the controller end: messages of one rank arrive in their order.
void Worker::send_trace() { config_.trace->send(courier_, config_.controller_rank, TracePart::more_follows); }

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
  bool const has_nothing_to_do = rests_ || engine_.idle();
  auto patience = stepped_            ? std::chrono::microseconds(0)
                  : has_nothing_to_do ? std::chrono::microseconds(idle_patience)
                                      : std::chrono::microseconds(patience_without_room);
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
  if (tag == Tag::pages_returned) {
    auto const message = decode<PagesReturned>(envelope.frame);
    loans_.take_back(envelope.source_rank, tail_elements<ReturnedLoan>(tail_of(envelope.frame), message.pages));
  }
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
  assignments_[request.id] = {.epoch = message.request_epoch,
                              .decode_rank = int(message.decode_rank),
                              .told = std::vector<std::uint32_t>(std::size_t(request.choices))};
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
  if (message.fate == RankFate::ended) loans_.end_loans_of(rank);
}

void Worker::send_answers() {
  auto const answers = engine_.take_answers();
  if (answers.empty()) return;
  if (config_.trace != nullptr) send_trace();
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

/// One message a step, for all streams.
void Worker::send_deltas() {
  std::vector<StreamedPiece> pieces;
  for (ChoiceDelta& delta : engine_.take_deltas()) {
    auto const at = assignments_.find(delta.id);
    if (at == assignments_.end()) continue;  // cancelled
    std::uint32_t& told = at->second.told.at(std::size_t(delta.choice));
    std::uint32_t const first = std::exchange(told, told + std::uint32_t(delta.tokens.size()));
    pieces.push_back({.request_epoch = at->second.epoch, .first_token = first, .delta = std::move(delta)});
  }
  if (!pieces.empty()) courier_.send(config_.controller_rank, Streamed{.pieces = pieces.size()}, encode_pieces(pieces));
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
