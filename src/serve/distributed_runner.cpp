#include "src/serve/distributed_runner.hpp"

#include <algorithm>
#include <stdexcept>

#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/policy/dispatch.hpp"
#include "src/serve/wire_request.hpp"

namespace windlass {
namespace {

constexpr auto patience_of_step = std::chrono::milliseconds(20);

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
  dispatch(open);
}

void DistributedRunner::dispatch(Open& open) {
  ++open.epoch;
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

std::size_t DistributedRunner::choose_prefill() const {
  std::vector<std::int64_t> load;
  for (Instance const& instance : instances_) {
    bool const usable = !instance.lost && instance.plan.role != Role::decode;
    load.push_back(usable ? instance.prompt_tokens + instance.sequences : unavailable_load);
  }
  auto const plan = plan_dispatch({.load = load});
  if (plan.stop == DispatchStop::no_instance) throw std::runtime_error("every instance that could prefill is lost");
  return plan.instance;
}

std::size_t DistributedRunner::choose_decode(std::size_t prefill) const {
  if (instances_[prefill].plan.role == Role::mixed) return prefill;
  std::vector<std::int64_t> load(instances_.size(), unavailable_load);
  for (int const peer : instances_[prefill].plan.peers)
    if (Instance const& instance = instances_[std::size_t(peer)]; !instance.lost)
      load[std::size_t(peer)] = instance.sequences;
  auto const plan = plan_dispatch({.load = load});
  if (plan.stop == DispatchStop::no_instance) throw std::runtime_error("every instance that could decode is lost");
  return plan.instance;
}

void DistributedRunner::settle(Open const& open) {
  instances_[open.prefill].prompt_tokens -= std::int64_t(open.request.prompt.size());
  instances_[open.decode].sequences -= open.request.choices;
}

void DistributedRunner::cancel(RequestId request) {
  auto const at = open_.find(request);
  if (at == open_.end()) return;
  Open const& open = at->second;
  Cancel const message{.request = number(request), .request_epoch = open.epoch};
  courier_.send(instances_[open.prefill].leader(), message);
  if (open.decode != open.prefill) courier_.send(instances_[open.decode].leader(), message);
  settle(open);
  open_.erase(at);
}

void DistributedRunner::step() {
  auto patience = std::chrono::microseconds(open_.empty() ? std::chrono::milliseconds(0) : patience_of_step);
  while (auto const envelope = courier_.receive(Inbox::controller, patience)) {
    patience = {};
    try {
      take(*envelope);
    } catch (WireError const& error) {
      log_warning(text("a message from rank ", envelope->source_rank, " was dropped: ", error.what()));
    }
  }
  look_for_failures();
}

void DistributedRunner::take(Envelope const& envelope) {
  Tag const tag = envelope.tag();
  if (tag == Tag::answered) return take_answer(envelope);
  if (tag != Tag::moved) return;
  auto const message = decode<Moved>(envelope.frame);
  if (message.arrived == 0) {
    ++moved_.failed;
    return;
  }
  ++moved_.requests;
  moved_.bytes += std::int64_t(message.bytes);
  moved_.pages += std::int64_t(message.pages);
  moved_.microseconds += std::int64_t(message.microseconds);
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
  Open const& open = at->second;
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
  auto const plan = plan_failures({.now_us = now,
                                   // Messages are as old as this rank's own MPI thread is late.
                                   .last_look_us = std::min(last_look_us_, courier_.heard_us(courier_.world_rank())),
                                   .grace_until_us = grace_until_us_,
                                   .heard_us = heard,
                                   .rule = config_.failures});
  last_look_us_ = now;
  grace_until_us_ = plan.grace_until_us;
  for (std::size_t const instance : plan.lost)
    if (!instances_[instance].lost) lose(instance);
}

/// Everything that ran there starts again elsewhere; a late answer of the old epoch is not taken.
void DistributedRunner::lose(std::size_t instance) {
  instances_[instance].lost = true;
  log_warning(text("instance ", instance, " (rank ", instances_[instance].leader(), ") has been silent for ",
                   config_.failures.silence_us / 1000, " ms: it is lost, its requests start again elsewhere"));
  for (auto at = open_.begin(); at != open_.end();) {
    Open& open = at->second;
    auto const next = std::next(at);
    if (open.prefill == instance || open.decode == instance) {
      settle(open);
      if (++open.deaths >= config_.most_deaths) {
        answers_.push_back({.id = at->first,
                            .error = text("was running at the loss of ", open.deaths, " instances"),
                            .error_is_input = false,
                            .submitted_us = open.submitted_us,
                            .finished_us = now_us()});
        open_.erase(at);
      } else {
        dispatch(open);
      }
    }
    at = next;
  }
}

EngineCounters DistributedRunner::counters() const {
  EngineCounters sum;
  for (Instance const& instance : instances_) {
    LoadSnapshot const load = courier_.load_of(instance.leader());
    sum.steps += std::int64_t(load.steps);
    sum.prompt_tokens += std::int64_t(load.prompt_tokens);
    sum.cached_tokens += std::int64_t(load.cached_tokens);
    sum.generated_tokens += std::int64_t(load.generated_tokens);
    sum.preemptions += std::int64_t(load.preemptions);
    sum.busy_us += std::int64_t(load.busy_us);
    sum.running += int(load.running);
    sum.waiting += int(load.waiting);
    sum.pages += std::uint32_t(load.pages);
    sum.free_pages += std::uint32_t(load.free_pages);
  }
  return sum;
}

void DistributedRunner::shut_down(Shutdown const& message) {
  for (int rank = 0; rank < courier_.world_ranks(); ++rank) courier_.send(rank, message);
}

std::size_t DistributedRunner::lost_instances() const {
  return std::size_t(std::count_if(instances_.begin(), instances_.end(), [](auto const& each) { return each.lost; }));
}

}  // namespace windlass
