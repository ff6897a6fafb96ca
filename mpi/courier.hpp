/// The thread that owns MPI on a rank: it sends, receives and makes transfers progress; nobody else calls MPI.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "mpi/message.hpp"
#include "src/core/clock.hpp"

namespace windlass {

struct Envelope {
  int source_rank = 0;
  Bytes frame;  ///< checked by read_header; of this job's epoch
  Tag tag() const { return read_header(frame).tag; }
};

/// Something on the MPI thread that goes on bit by bit.
class CourierTask {
 public:
  virtual ~CourierTask() = default;
  /// True where something happened, so that the thread does not sleep. Called on the MPI thread.
  virtual bool progress(Microseconds now_us) = 0;
  /// A message of Inbox::exchange. Called on the MPI thread. May throw WireError.
  virtual void receive(Envelope envelope) = 0;
  /// Nothing more comes from that rank, and nothing more goes to it. Called on the MPI thread.
  virtual void peer_lost(int rank, RankFate fate) = 0;
  /// This process stood still for so long: deadlines that ran meanwhile are moved. Called on the MPI thread.
  virtual void clock_jumped(Microseconds by_us) = 0;
};

struct CourierConfig {
  std::uint64_t job_epoch = 0;
  std::vector<int> heartbeat_ranks;  ///< who gets this rank's heartbeats
  Microseconds heartbeat_us = 100'000;
  std::optional<int> failures_to;         ///< this rank, if its controller is to hear which ranks MPI itself gives up
  Microseconds longest_sleep_us = 500;    ///< between two looks for messages, where nothing happens
  Microseconds jump_us = 1'000'000;       ///< a longer time between two looks: the process itself stood still
  Microseconds farewell_us = 20'000'000;  ///< how long the end waits for what is still to be sent
};

struct CourierCounters {
  std::int64_t sent = 0, received = 0;
  std::int64_t dropped = 0;  ///< frames of another job, of no known kind, damaged, or of a rank that was given up
};

class FrameLinks;

/// Every call but those marked is safe from any thread and waits for nobody.
class Courier {
 public:
  /// Collective over the job, after MPI_Init and before any other thread calls MPI: from here to the end of the
  /// destructor only the courier's thread does.
  explicit Courier(CourierConfig const& config);
  /// Waits until everything that any rank sent has been received and all ranks have come here, at most `farewell_us`.
  /// Where a rank was given up, MPI is left as it is: the process must end by _exit.
  ~Courier();
  Courier(Courier const&) = delete;
  Courier& operator=(Courier const&) = delete;

  int world_rank() const { return world_rank_; }
  int world_ranks() const { return int(heard_us_.size()); }
  std::uint64_t job_epoch() const { return config_.job_epoch; }

  template <WireMessage M>
  void send(int to_rank, M const& message, std::span<std::byte const> tail = {}) {
    send_frame(to_rank, encode(message, config_.job_epoch, tail));
  }
  /// To itself too: then the message does not touch MPI.
  void send_frame(int to_rank, Bytes frame);

  /// The next message of an inbox, waiting at most `patience`. For the one thread that serves this inbox.
  std::optional<Envelope> receive(Inbox inbox, std::chrono::microseconds patience);

  /// From now on that rank is nobody: frames to and from it are dropped, transfers with it end.
  void give_up(int rank, RankFate fate);
  /// Waits until every frame that was sent to a rank which is not given up has been received there, at most `patience`.
  void flush(std::chrono::microseconds patience);

  /// Runs `work` on the MPI thread, in the order of the calls.
  void post(std::function<void()> work);
  /// From now on the MPI thread calls it. It must live until remove_task() has returned. At most one task.
  void set_task(CourierTask* task);
  void remove_task();  ///< waits until the MPI thread has let go of it

  /// When a rank's last message arrived, on this rank's clock; its own: when its MPI thread last looked.
  Microseconds heard_us(int rank) const { return heard_us_[std::size_t(rank)].load(); }
  /// For how long a rank has been silent while this rank's MPI thread listened.
  Microseconds silence_us(int rank) const {
    Microseconds const listened_us = heard_us(world_rank_);
    return std::max<Microseconds>(0, listened_us - heard_us(rank));
  }
  /// What this rank's heartbeats say from now on.
  void set_load(LoadSnapshot const& load);
  /// What a rank's last heartbeat (its own: set_load) said.
  LoadSnapshot load_of(int rank) const;
  CourierCounters counters() const;

 private:
  struct Box {
    std::mutex mutex;
    std::condition_variable arrived;
    std::deque<Envelope> envelopes;
  };

  void run(std::stop_token stop);
  void note_sent(std::size_t frames);
  void guard(std::function<void()> const& call);
  bool run_posted();
  bool receive_arrived();
  void deliver(Envelope envelope);
  void beat(Microseconds now_us);
  void look_for_jump(Microseconds now_us);
  void abandon_links();
  void wait_for_work(Microseconds idle_us);

  CourierConfig const config_;
  int world_rank_ = 0;
  std::unique_ptr<FrameLinks> links_;
  std::array<Box, inboxes> boxes_;
  std::vector<std::atomic<Microseconds>> heard_us_;  // [world ranks]
  mutable std::mutex mutex_;                         // of what follows
  std::condition_variable posted_;
  std::deque<std::function<void()>> work_;
  std::vector<LoadSnapshot> loads_;  // [world ranks]
  CourierCounters counts_;
  CourierTask* task_ = nullptr;  // of the MPI thread
  std::vector<bool> given_up_;   // [world ranks] of the MPI thread
  std::uint64_t beats_ = 0;
  Microseconds next_beat_us_ = 0, last_look_us_ = 0;
  std::size_t unsent_ = 0;  // under mutex_: frames that no rank has received yet
  std::condition_variable all_sent_;
  std::jthread thread_;
};

}  // namespace windlass
