#include "src/serve/distributed_runner.hpp"

#include <algorithm>
#include <stdexcept>

#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/policy/dispatch.hpp"
#include "src/serve/wire_request.hpp"

namespace windlass {
namespace {

constexpr Microseconds longest_save_us = 600'000'000;  ///< where no end is known
constexpr Microseconds look_interval_us = 20'000;      ///< for silent ranks; steps are shorter where tokens stream

}  // namespace

DistributedRunner::DistributedRunner(Courier& courier, std::vector<PlannedInstance> instances,
                                     DistributedConfig const& config)
    : courier_(courier), config_(config) {
  for (PlannedInstance& plan : instances) instances_.push_back({.plan = std::move(plan)});
}

void DistributedRunner::submit(Request request) {
  RequestId const id = request.id;
  Open& open = open_[id];
  open = {.request = std::move(request), .submitted_us = now_us()};
  if (open.request.deltas == Deltas::on) open.streams.resize(std::size_t(open.request.choices));
  dispatch(open);
}

void DistributedRunner::dispatch(Open& open) {
  ++open.epoch;
  open.moved = false;
  for (ChoiceStream& stream : open.streams) stream.forget_early();
  open.prefill = choose_prefill();
  open.decode = choose_decode(open.prefill);
  instances_[open.prefill].prompt_tokens += std::int64_t(open.request.prompt.size());
  instances_[open.decode].sequences += open.request.choices;
  courier_.send(instances_[open.prefill].leader(),
                Submit{.request = number(open.request.id),
                       .request_epoch = open.epoch,
                       .decode_rank = std::uint32_t(instances_[open.decode].leader())},
                encode_request(open.request));
}

DispatchPlan DistributedRunner::choose(std::vector<std::int64_t> const& load) const {
  auto const plan = plan_dispatch({.load = load});
  if (config_.plan_log != nullptr) config_.plan_log->add(DispatchInput{.load = load}, plan);
  return plan;
}

std::size_t DistributedRunner::choose_prefill() const {
  std::vector<std::int64_t> load;
  for (Instance const& instance : instances_) {
    bool const usable = !instance.lost && instance.plan.role != Role::decode;
    load.push_back(usable ? instance.prompt_tokens + instance.sequences : unavailable_load);
  }
  auto const plan = choose(load);
  if (plan.stop == DispatchStop::no_instance) throw EveryInstanceLost("every instance is lost");
  return plan.instance;
}

std::size_t DistributedRunner::choose_decode(std::size_t prefill) const {
  if (instances_[prefill].plan.role == Role::mixed) return prefill;
  std::vector<std::int64_t> load(instances_.size(), unavailable_load);
  for (int const peer : instances_[prefill].plan.peers)
    if (Instance const& instance = instances_[std::size_t(peer)]; !instance.lost)
      load[std::size_t(peer)] = instance.sequences;
  auto const plan = choose(load);
  if (plan.stop == DispatchStop::no_instance) throw EveryInstanceLost("every instance that could decode is lost");
  return plan.instance;
}

void DistributedRunner::settle(Open const& open) {
  instances_[open.prefill].prompt_tokens -= std::int64_t(open.request.prompt.size());
  instances_[open.decode].sequences -= open.request.choices;
}

void DistributedRunner::cancel(RequestId request) {
  auto const at = open_.find(request);
  if (at == open_.end()) return;
  withdraw(request, at->second);
  open_.erase(at);
}

/// Its instances forget it.
void DistributedRunner::withdraw(RequestId request, Open const& open) {
  Cancel const message{.request = number(request), .request_epoch = open.epoch};
  if (live(open.prefill)) courier_.send(instances_[open.prefill].leader(), message);
  if (open.decode != open.prefill && live(open.decode)) courier_.send(instances_[open.decode].leader(), message);
  settle(open);
}

void DistributedRunner::step() {
  listen(open_.empty() ? std::chrono::microseconds(0) : config_.patience);
  if (now_us() - last_look_us_ >= look_interval_us) look_for_failures();
  if (config_.checkpoints != nullptr) config_.checkpoints->tick(live_leaders());
}

/// Prefill ranks tell of a handoff when it is over; the answer may come first.
void DistributedRunner::await_handoffs(Microseconds until_us) {
  auto const told = [this] { return moved_.requests() + moved_.failed + moved_.without_kv; };
  while (told() < decoded_elsewhere_ && lost_ranks_.empty() && now_us() < until_us) {
    listen(config_.patience);
    look_for_failures();
  }
}

void DistributedRunner::await_traces(Microseconds until_us) {
  std::size_t ranks = config_.spare_ranks.size();
  for (Instance const& instance : instances_) ranks += instance.lost ? 0 : instance.plan.ranks.size();
  while (traced_to_the_end_ < ranks && now_us() < until_us) listen(config_.patience);
}

void DistributedRunner::listen(std::chrono::microseconds patience) {
  while (auto const envelope = courier_.receive(Inbox::controller, patience)) {
    patience = {};
    try {
      take(*envelope);
    } catch (WireError const& error) {
      log_warning(text("a message from rank ", envelope->source_rank, " was dropped: ", error.what()));
    }
  }
}

std::vector<int> DistributedRunner::live_leaders() const {
  std::vector<int> leaders;
  for (Instance const& instance : instances_)
    if (!instance.lost) leaders.push_back(instance.leader());
  return leaders;
}

void DistributedRunner::input_ended() {
  if (config_.checkpoints != nullptr) config_.checkpoints->input_ended(live_leaders());
}

Microseconds DistributedRunner::save_us() {
  return config_.checkpoints == nullptr ? 0 : config_.checkpoints->save_us(live_leaders());
}

void DistributedRunner::save_progress(Microseconds until_us) {
  if (config_.checkpoints == nullptr) return;
  Microseconds const give_up_us = std::min(until_us, now_us() + longest_save_us);
  auto const wait = [&] {
    while (config_.checkpoints->busy() && now_us() < give_up_us) step();
  };
  wait();  // for one that is on its way
  if (!config_.checkpoints->begin(live_leaders(), CheckpointHaste::at_once, until_us))
    return log_warning("no last checkpoint was written: the one before did not end in time");
  wait();
  if (config_.checkpoints->busy()) log_warning("the last checkpoint did not end in time; the one before stays");
}

void DistributedRunner::take(Envelope const& envelope) {
  Tag const tag = envelope.tag();
  if (tag == Tag::answered) return take_answer(envelope);
  if (tag == Tag::streamed) return take_pieces(envelope);
  if (tag == Tag::moved) {
    auto const message = decode<Moved>(envelope.frame);
    take_moved(message);
    if (message.arrived != 0) count_flow(message, envelope.source_rank);
  }
  if (tag == Tag::checkpoint_part && config_.checkpoints != nullptr) config_.checkpoints->take(envelope);
  if (tag == Tag::traced) take_trace(envelope);
  if (tag == Tag::rank_ended) {
    auto const message = decode<RankEnded>(envelope.frame);
    bool const will_be_told =
        message.fate == RankFate::silent && config_.kill_rank && config_.kill_rank(int(message.rank));
    if (!will_be_told) lose_rank(int(message.rank), message.fate);
  }
}

void DistributedRunner::take_trace(Envelope const& envelope) {
  if (!config_.on_trace) return;
  auto const message = decode<Traced>(envelope.frame);
  auto const spans = tail_elements<TraceSpan>(tail_of(envelope.frame), message.spans);
  for (TraceSpan const& span : spans)
    if (span.kind > last_span_kind) throw WireError("a span of a trace of no known kind");
  config_.on_trace(envelope.source_rank, spans);
  traced_to_the_end_ += message.last != 0;
}

void DistributedRunner::take_moved(Moved const& message) {
  auto const at = open_.find(RequestId{message.request});
  bool const current = at != open_.end() && at->second.epoch == message.request_epoch;
  if (current && message.arrived != 0) at->second.moved = true;
  moved_.without_kv += message.pages == 0;
  if (message.pages == 0) return;
  moved_.failed += message.arrived == 0;
  if (message.arrived == 0) return;
  KvFlow& flow = message.shared != 0 ? moved_.shared : moved_.copied;
  ++flow.requests;
  flow.bytes += std::int64_t(message.bytes);
  flow.pages += std::int64_t(message.pages);
  flow.work_us += std::int64_t(message.moving_us);
  moved_.microseconds += std::int64_t(message.microseconds);
}

void DistributedRunner::count_flow(Moved const& message, int from_rank) {
  for (Instance& instance : instances_) {
    if (instance.leader() == from_rank) instance.kv_out_bytes += message.bytes;
    if (instance.leader() == int(message.decode_rank)) instance.kv_in_bytes += message.bytes;
  }
}

void DistributedRunner::take_pieces(Envelope const& envelope) {
  auto const message = decode<Streamed>(envelope.frame);
  for (StreamedPiece& piece : decode_pieces(tail_of(envelope.frame), message.pieces)) {
    auto const at = open_.find(piece.delta.id);
    auto const choice = std::size_t(piece.delta.choice);
    if (at == open_.end() || at->second.epoch != piece.request_epoch || choice >= at->second.streams.size()) continue;
    at->second.streams[choice].take(piece.first_token, std::move(piece.delta), deltas_);
  }
}

/// What an answer has and its streams have not told: nothing, unless a delta was overtaken or lost.
void DistributedRunner::end_streams(Open& open, Answer const& answer) {
  if (!answer.error.empty()) return;
  for (std::size_t i = 0; i < std::min(open.streams.size(), answer.choices.size()); ++i)
    open.streams[i].finish(answer.choices[i],
                           {.id = answer.id, .choice = int(i), .prompt_logprobs = answer.prompt_logprobs}, deltas_);
}

void DistributedRunner::take_answer(Envelope const& envelope) {
  auto const message = decode<Answered>(envelope.frame);
  auto const at = open_.find(RequestId{message.request});
  if (at == open_.end() || at->second.epoch != message.request_epoch) return;  // cancelled, or sent elsewhere since
  Answer answer = decode_answer(tail_of(envelope.frame), now_us());
  answer.id = at->first;
  answer.submitted_us = at->second.submitted_us;
  answer.first_token_us = std::max(answer.first_token_us, answer.submitted_us);
  answer.finished_us = std::max(answer.finished_us, answer.first_token_us);
  Open& open = at->second;
  end_streams(open, answer);
  decoded_elsewhere_ += open.decode != open.prefill && envelope.source_rank == instances_[open.decode].leader();
  settle(open);
  open_.erase(at);
  answers_.push_back(std::move(answer));
}

void DistributedRunner::look_for_failures() {
  std::vector<Microseconds> heard;
  for (Instance const& instance : instances_) {
    Microseconds oldest = never_us;
    for (int const rank : instance.plan.ranks)
      if (rank != courier_.world_rank()) oldest = std::min(oldest, courier_.heard_us(rank));
    heard.push_back(oldest);
  }
  Microseconds const now = now_us();
  FailureInput const in{.now_us = now,
                        // Messages are as old as this rank's own MPI thread is late.
                        .last_look_us = std::min(last_look_us_, courier_.heard_us(courier_.world_rank())),
                        .grace_until_us = grace_until_us_,
                        .heard_us = heard,
                        .rule = config_.failures};
  auto const plan = plan_failures(in);
  if (config_.plan_log != nullptr) config_.plan_log->add(in, plan);
  last_look_us_ = now;
  grace_until_us_ = plan.grace_until_us;
  for (std::size_t const instance : plan.lost)
    if (live(instance)) suspect(instance);
}

/// A rank that is silent may wake again: it is killed, and lost once its end is told. Where nobody can kill it, it is
/// lost at once, and what it was granted stays out of use.
void DistributedRunner::suspect(std::size_t instance) {
  for (int const rank : std::vector(instances_[instance].plan.ranks)) {
    bool const silent = rank != courier_.world_rank() && courier_.silence_us(rank) > config_.failures.silence_us;
    if (!silent || killed_ranks_.contains(rank)) continue;
    log_warning(text("rank ", rank, " has been silent for ", config_.failures.silence_us / 1000, " ms"));
    killed_ranks_.insert(rank);
    if (!config_.kill_rank || !config_.kill_rank(rank)) lose_rank(rank, RankFate::silent);
  }
}

void DistributedRunner::lose_rank(int world_rank, RankFate fate) {
  if (shut_down_ || !lost_ranks_.insert(world_rank).second) return;
  if (config_.checkpoints != nullptr) config_.checkpoints->lose(world_rank);
  losses_.ranks.push_back(world_rank);
  PeerLost const message{.rank = std::uint32_t(world_rank), .fate = fate};
  courier_.give_up(world_rank, fate);
  for (int rank = 0; rank < courier_.world_ranks(); ++rank)
    if (!lost_ranks_.contains(rank)) courier_.send(rank, message);
  if (std::erase(config_.spare_ranks, world_rank) > 0) log_warning(text("rank ", world_rank, " is lost; it was spare"));
  for (std::size_t i = 0; i < instances_.size(); ++i) {
    auto const& ranks = instances_[i].plan.ranks;
    if (live(i) && std::find(ranks.begin(), ranks.end(), world_rank) != ranks.end()) lose(i);
  }
}

/// Everything that ran there starts again elsewhere; a late answer of the old epoch is not taken.
void DistributedRunner::lose(std::size_t instance) {
  Instance& lost = instances_[instance];
  log_warning(text("rank ", losses_.ranks.back(), " is lost, and with it ", role_name(lost.plan.role), " instance ",
                   instance, "; its requests start again elsewhere"));
  lost.lost = true;
  ++losses_.instances;
  for (int const rank : lost.plan.ranks)  // the others would wait for it for ever
    if (rank != courier_.world_rank() && !lost_ranks_.contains(rank) && killed_ranks_.insert(rank).second &&
        config_.kill_rank)
      config_.kill_rank(rank);
  replace(instance);
  spread_roles();
  restart_requests(instance);
}

/// A spare rank takes the place, with the role and the peers that it had.
void DistributedRunner::replace(std::size_t instance) {
  Instance& place = instances_[instance];
  if (place.plan.ranks.size() != 1 || config_.spare_ranks.empty()) return;
  int const spare = config_.spare_ranks.front();
  config_.spare_ranks.erase(config_.spare_ranks.begin());
  add_work_of(place, done_by_replaced_);
  place.plan.ranks = {spare};
  place.lost = false;
  ++losses_.spares_taken;
  log_info(text("spare rank ", spare, " takes the place of ", role_name(place.plan.role), " instance ", instance));
  courier_.send(spare, TakeRole{.holds = place.plan.role == Role::prefill});
}

/// Where nobody is left to prefill, decode instances do both; prefill instances without a live peer too.
void DistributedRunner::spread_roles() {
  auto const prefills = [](Instance const& each) { return !each.lost && each.plan.role != Role::decode; };
  bool const somebody_prefills = std::any_of(instances_.begin(), instances_.end(), prefills);
  for (Instance& each : instances_) {
    if (each.lost || each.plan.role == Role::mixed) continue;
    bool const has_peer =
        std::any_of(each.plan.peers.begin(), each.plan.peers.end(), [&](int peer) { return live(std::size_t(peer)); });
    if (each.plan.role == Role::decode ? !somebody_prefills : !has_peer) become_mixed(each);
  }
}

void DistributedRunner::become_mixed(Instance& instance) {
  log_info(text("rank ", instance.leader(), ", which was to ",
                instance.plan.role == Role::decode ? "decode" : "prefill", " alone, does both from now on"));
  instance.plan.role = Role::mixed;
  courier_.send(instance.leader(), TakeRole{.holds = 0});
}

/// A request that had not reached the lost instance, or had left it, has not been running there.
void DistributedRunner::restart_requests(std::size_t instance) {
  for (auto at = open_.begin(); at != open_.end();) {
    Open& open = at->second;
    auto const next = std::next(at);
    bool const ran_there = open.runs_at(instance), was_to_go_there = !open.moved && open.decode == instance;
    if (ran_there || was_to_go_there) {
      withdraw(at->first, open);
      open.deaths += ran_there;
      if (open.deaths < config_.most_deaths) {
        ++losses_.restarted_requests;
        dispatch(open);
      } else {
        ++losses_.failed_requests;
        answers_.push_back({.id = at->first,
                            .error = text("was running at the loss of ", open.deaths, " instances"),
                            .error_is_input = false,
                            .error_is_final = true,
                            .submitted_us = open.submitted_us,
                            .finished_us = now_us()});
        open_.erase(at);
      }
    }
    at = next;
  }
}

void DistributedRunner::shut_down(End end) {
  if (std::exchange(shut_down_, true)) return;
  Shutdown const message{.failed = end == End::failed, .lost_ranks = std::uint32_t(lost_ranks_.size())};
  for (int rank = 0; rank < courier_.world_ranks(); ++rank)
    if (!lost_ranks_.contains(rank)) courier_.send(rank, message);
}

}  // namespace windlass
