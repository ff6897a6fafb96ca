#include "mpi/courier.hpp"

#include <algorithm>
#include <future>
#include <limits>
#include <list>

#include "mpi/communicator.hpp"
#include "mpi/communicators.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"

namespace windlass {
namespace {

constexpr int frame_mpi_tag = 1;                             ///< all frames; KV has a communicator of its own
constexpr Microseconds awake_us = 200, first_sleep_us = 20;  ///< how long it looks without sleeping; the first sleep

}  // namespace

struct Courier::Links {
  struct Outgoing {
    Bytes frame;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  Communicator frames = duplicate_world();
  MPI_Request farewell = MPI_REQUEST_NULL;
  std::list<Outgoing> outgoing;  // a buffer stays where it is until its send is done

  void send(int rank, Bytes frame) {
    ensure(frame.size() <= std::size_t(std::numeric_limits<int>::max()), "a message of more than 2 GiB");
    outgoing.push_back({.frame = std::move(frame)});
    Outgoing& next = outgoing.back();
    // Synchronous: once it is done its receiver has it, so that no frame is left over where a communicator ends.
    check_mpi(MPI_Issend(next.frame.data(), int(next.frame.size()), MPI_BYTE, rank, frame_mpi_tag, frames.get(),
                         &next.request),
              "MPI_Issend");
  }

  bool finish_sends() {
    auto const done = [](Outgoing& send) {
      int flag = 0;
      return MPI_Test(&send.request, &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS || flag != 0;
    };
    return std::erase_if(outgoing, done) > 0;
  }

  /// After the last send: true once every rank has come here, and so has received everything.
  bool all_done() {
    int done = 0;
    if (farewell == MPI_REQUEST_NULL) check_mpi(MPI_Ibarrier(frames.get(), &farewell), "MPI_Ibarrier");
    check_mpi(MPI_Test(&farewell, &done, MPI_STATUS_IGNORE), "MPI_Test");
    return done != 0;
  }

  std::optional<Envelope> receive() {
    int arrived = 0, bytes = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    check_mpi(MPI_Improbe(MPI_ANY_SOURCE, frame_mpi_tag, frames.get(), &arrived, &message, &status), "MPI_Improbe");
    if (!arrived) return std::nullopt;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    Envelope envelope{.source_rank = status.MPI_SOURCE, .frame = Bytes(std::size_t(bytes))};
    check_mpi(MPI_Mrecv(envelope.frame.data(), bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE), "MPI_Mrecv");
    return envelope;
  }
};

Courier::Courier(CourierConfig const& config)
    : config_(config),
      world_rank_(world_place().world_rank),
      links_(std::make_unique<Links>()),
      heard_us_(std::size_t(world_place().world_ranks)),
      loads_(heard_us_.size()) {
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
  post([this, to_rank, own = std::make_shared<Bytes>(std::move(frame))] { links_->send(to_rank, std::move(*own)); });
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
    bool worked = run_posted();
    worked |= receive_arrived();
    worked |= links_->finish_sends();
    Microseconds const now = now_us();
    if (task_ != nullptr) guard([&] { worked |= task_->progress(now); });
    beat(now);
    if (worked) worked_us = now;
    if (stop.stop_requested()) {
      stopped_us = std::min(stopped_us, now);
      bool all_done = false;
      if (links_->outgoing.empty() && !worked) guard([&] { all_done = links_->all_done(); });
      if (all_done) break;
      if (now - stopped_us > config_.farewell_us) {
        links_->frames.abandon();
        links_.release();  // MPI may still read these buffers: they live as long as the process
        return;
      }
    }
    if (!worked) wait_for_work(now - worked_us);
  }
  links_.reset();
}

bool Courier::run_posted() {
  std::deque<std::function<void()>> work;
  {
    std::lock_guard const lock(mutex_);
    work.swap(work_);
    counts_.sent += std::int64_t(work.size());
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
  std::optional<Envelope> envelope;
  auto const next = [&] {
    envelope.reset();
    guard([&] { envelope = links_->receive(); });
    return envelope.has_value();
  };
  while (next()) {
    any = true;
    heard_us_[std::size_t(envelope->source_rank)] = now_us();
    bool known = true;
    try {
      known = read_header(envelope->frame).job_epoch == config_.job_epoch;
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
