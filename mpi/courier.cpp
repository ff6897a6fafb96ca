#include "mpi/courier.hpp"

#include <algorithm>
#include <future>
#include <limits>
#include <list>
#include <utility>

#include "mpi/communicators.hpp"
#include "mpi/frame_links.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"

namespace windlass {
namespace {

constexpr Microseconds awake_us = 200, first_sleep_us = 20;  ///< how long it looks without sleeping; the first sleep

}  // namespace

Courier::Courier(CourierConfig const& config)
    : config_(config),
      world_rank_(world_place().world_rank),
      links_(std::make_unique<FrameLinks>()),
      heard_us_(std::size_t(world_place().world_ranks)),
      loads_(heard_us_.size()),
      given_up_(heard_us_.size()) {
  for (auto& heard : heard_us_) heard = now_us();
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

Courier::~Courier() {
  thread_.request_stop();
  posted_.notify_all();
  thread_.join();
}

void Courier::send_frame(int to_rank, Bytes frame) {
  ensure(to_rank >= 0 && to_rank < world_ranks(), "a message goes to a rank outside of the job");
  if (to_rank == world_rank_) {
    Envelope envelope{.source_rank = to_rank, .frame = std::move(frame)};
    if (inbox_of(envelope.tag()) != Inbox::exchange) return deliver(std::move(envelope));
    return post([this, own = std::make_shared<Envelope>(std::move(envelope))] { deliver(std::move(*own)); });
  }
  std::lock_guard const lock(mutex_);
  ++unsent_;
  work_.push_back([this, to_rank, own = std::make_shared<Bytes>(std::move(frame))] {
    if (!given_up_[std::size_t(to_rank)]) return links_->send(to_rank, std::move(*own));
    note_sent(1);
  });
  posted_.notify_one();
}

void Courier::note_sent(std::size_t frames) {
  if (frames == 0) return;
  std::lock_guard const lock(mutex_);
  counts_.sent += std::int64_t(frames);
  unsent_ -= frames;
  if (unsent_ == 0) all_sent_.notify_all();
}

void Courier::give_up(int rank, RankFate fate) {
  post([this, rank, fate] {
    if (given_up_[std::size_t(rank)]) return;
    given_up_[std::size_t(rank)] = true;
    note_sent(links_->give_up(rank));
    if (task_ != nullptr) task_->peer_lost(rank, fate);
  });
}

void Courier::flush(std::chrono::microseconds patience) {
  std::unique_lock lock(mutex_);
  all_sent_.wait_for(lock, patience, [&] { return unsent_ == 0; });
}

std::optional<Envelope> Courier::receive(Inbox inbox, std::chrono::microseconds patience) {
  Box& box = boxes_[std::size_t(inbox)];
  std::unique_lock lock(box.mutex);
  box.arrived.wait_for(lock, patience, [&] { return !box.envelopes.empty(); });
  if (box.envelopes.empty()) return std::nullopt;
  Envelope next = std::move(box.envelopes.front());
  box.envelopes.pop_front();
  return next;
}

void Courier::post(std::function<void()> work) {
  std::lock_guard const lock(mutex_);
  work_.push_back(std::move(work));
  posted_.notify_one();
}

void Courier::set_task(CourierTask* task) {
  post([this, task] { task_ = task; });
}

void Courier::remove_task() {
  std::promise<void> done;
  post([&] {
    task_ = nullptr;
    done.set_value();
  });
  done.get_future().wait();
}

void Courier::set_load(LoadSnapshot const& load) {
  std::lock_guard const lock(mutex_);
  loads_[std::size_t(world_rank_)] = load;
}

LoadSnapshot Courier::load_of(int rank) const {
  std::lock_guard const lock(mutex_);
  return loads_[std::size_t(rank)];
}

CourierCounters Courier::counters() const {
  std::lock_guard const lock(mutex_);
  return counts_;
}

void Courier::run(std::stop_token stop) {
  Microseconds worked_us = now_us(), stopped_us = never_us;
  for (;;) {
    look_for_jump(now_us());
    bool worked = run_posted();
    worked |= receive_arrived();
    std::size_t const sent = links_->finish_sends();
    note_sent(sent);
    worked |= sent > 0;
    Microseconds const now = now_us();
    if (task_ != nullptr) guard([&] { worked |= task_->progress(now); });
    beat(now);
    if (worked) worked_us = now;
    if (stop.stop_requested()) {
      stopped_us = std::min(stopped_us, now);
      bool all_done = false;
      bool const alone = std::find(given_up_.begin(), given_up_.end(), true) != given_up_.end();
      if (links_->all_sent() && !worked) guard([&] { all_done = alone || links_->all_done(); });
      if (all_done && !alone) return links_.reset();
      if (all_done || now - stopped_us > config_.farewell_us) return abandon_links();
    }
    if (!worked) wait_for_work(now - worked_us);
  }
}

/// MPI may still use these buffers: they live as long as the process.
void Courier::abandon_links() {
  links_->abandon();
  links_.release();
}

/// Stopped and continued, or not scheduled: what others sent meanwhile still has to be read before anybody is judged.
void Courier::look_for_jump(Microseconds now) {
  Microseconds const before = std::exchange(last_look_us_, now);
  if (before == 0 || now - before < config_.jump_us) return;
  Microseconds const by = now - before;
  for (int rank = 0; rank < world_ranks(); ++rank)  // itself last: nobody may look silent meanwhile
    if (rank != world_rank_) heard_us_[std::size_t(rank)] = heard_us_[std::size_t(rank)] + by;
  heard_us_[std::size_t(world_rank_)] = now;
  if (task_ != nullptr) task_->clock_jumped(by);
}

bool Courier::run_posted() {
  std::deque<std::function<void()>> work;
  {
    std::lock_guard const lock(mutex_);
    work.swap(work_);
  }
  for (auto const& each : work) guard(each);
  return !work.empty();
}

/// A failed call is the failure of one link (its peer is gone): the others go on, and deadlines tell who is lost.
void Courier::guard(std::function<void()> const& call) {
  try {
    call();
  } catch (MpiError const& error) {
    log_warning(text("rank ", world_rank_, ": ", error.what()));
  }
}

bool Courier::receive_arrived() {
  bool any = false;
  guard([&] { links_->take_announced(); });
  for (int const rank : links_->take_failed())  // which process watches of this machine may have told already
    if (config_.failures_to)
      send(*config_.failures_to, RankEnded{.rank = std::uint32_t(rank), .fate = RankFate::silent});
  std::optional<Envelope> envelope;
  auto const next = [&] {
    envelope.reset();
    envelope = links_->receive();
    return envelope.has_value();
  };
  while (next()) {
    any = true;
    heard_us_[std::size_t(envelope->source_rank)] = now_us();
    bool known = true;
    bool const given_up = given_up_[std::size_t(envelope->source_rank)];
    try {
      known = read_header(envelope->frame).job_epoch == config_.job_epoch && !given_up;
      if (known) deliver(std::move(*envelope));
    } catch (WireError const& error) {
      known = false;
      log_warning(text("rank ", world_rank_, ": a message was dropped: ", error.what()));
    }
    std::lock_guard const lock(mutex_);
    ++(known ? counts_.received : counts_.dropped);
  }
  return any;
}

void Courier::deliver(Envelope envelope) {
  if (envelope.tag() == Tag::heartbeat) {
    auto const beat = decode<Heartbeat>(envelope.frame);
    std::lock_guard const lock(mutex_);
    loads_[std::size_t(envelope.source_rank)] = beat.load;
    return;
  }
  Inbox const inbox = inbox_of(envelope.tag());
  if (inbox == Inbox::exchange) {
    if (task_ != nullptr) task_->receive(std::move(envelope));
    return;
  }
  Box& box = boxes_[std::size_t(inbox)];
  std::lock_guard const lock(box.mutex);
  box.envelopes.push_back(std::move(envelope));
  box.arrived.notify_one();
}

void Courier::beat(Microseconds now) {
  heard_us_[std::size_t(world_rank_)] = now;
  if (config_.heartbeat_ranks.empty() || now < next_beat_us_) return;
  next_beat_us_ = now + config_.heartbeat_us;
  LoadSnapshot load;
  {
    std::lock_guard const lock(mutex_);
    load = loads_[std::size_t(world_rank_)];
  }
  ++beats_;
  for (int const rank : config_.heartbeat_ranks) send(rank, Heartbeat{.beat = beats_, .load = load});
}

/// Sleeps the longer the longer nothing has happened; wakes at once for what this rank wants to send.
void Courier::wait_for_work(Microseconds idle_us) {
  if (idle_us < awake_us) return std::this_thread::yield();
  auto const sleep = std::clamp<Microseconds>(idle_us / 10, first_sleep_us, config_.longest_sleep_us);
  std::unique_lock lock(mutex_);
  if (work_.empty()) posted_.wait_for(lock, std::chrono::microseconds(sleep));
}

}  // namespace windlass
