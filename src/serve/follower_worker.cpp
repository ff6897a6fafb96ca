#include "src/serve/follower_worker.hpp"

namespace windlass {
namespace {

constexpr Microseconds step_patience_us = 20'000;
constexpr auto shutdown_patience = std::chrono::milliseconds(20);

}  // namespace

WorkerEnd FollowerWorker::run() {
  FollowerStep last = FollowerStep::nothing;
  while (last != FollowerStep::ended || !shutdown_) {
    take_messages(last == FollowerStep::ended ? shutdown_patience : std::chrono::milliseconds(0));
    Microseconds const begin_us = now_us();
    if (last != FollowerStep::ended) last = follower_.step(step_patience_us);
    bool const computes = last == FollowerStep::computed;
    if (config_.trace != nullptr) trace(last, begin_us);
    if (!computes && courier_.silence_us(config_.controller_rank) > config_.controller_silence_us)
      return WorkerEnd::controller_lost;
  }
  if (config_.trace != nullptr) config_.trace->send(courier_, config_.controller_rank, TracePart::last);
  return shutdown_->failed == 0 ? WorkerEnd::done : WorkerEnd::failed;
}

void FollowerWorker::trace(FollowerStep last, Microseconds begin_us) {
  if (last == FollowerStep::computed)
    config_.trace->add_step(follower_.begun_us());
  else
    config_.trace->add_wait(begin_us);
  if (config_.trace->is_due()) config_.trace->send(courier_, config_.controller_rank, TracePart::more_follows);
}

void FollowerWorker::take_messages(std::chrono::microseconds patience) {
  while (auto const envelope = courier_.receive(Inbox::worker, patience)) {
    patience = {};
    if (envelope->tag() == Tag::shutdown && !shutdown_) shutdown_ = decode<Shutdown>(envelope->frame);
    if (envelope->tag() != Tag::peer_lost) continue;
    auto const message = decode<PeerLost>(envelope->frame);
    courier_.give_up(int(message.rank), message.fate);
    knows_of_losses_ = true;
  }
}

}  // namespace windlass
