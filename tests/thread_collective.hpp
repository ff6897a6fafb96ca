/// The ranks of an instance as threads of one process.
#pragma once

#include <barrier>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "src/core/collective.hpp"

namespace windlass::testing_data {

/// What the collectives of one instance share.
struct ThreadGroup {
  ThreadGroup(int the_degree, std::size_t the_capacity)
      : degree(the_degree),
        capacity(the_capacity),
        everybody(the_degree),
        announced(std::size_t(the_degree)),
        sent(std::size_t(the_degree)) {
    for (auto& turn : boxes) turn.assign(std::size_t(degree), std::vector<std::byte>(capacity + 64));
  }
  std::byte* box(unsigned turn, int rank) {
    auto& box = boxes[turn % 2][std::size_t(rank)];
    return box.data() + (64 - reinterpret_cast<std::uintptr_t>(box.data()) % 64) % 64;
  }

  int degree;
  std::size_t capacity;
  std::barrier<> everybody;
  std::vector<std::vector<std::byte>> boxes[2];  // [turn][ranks]
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::deque<std::vector<std::byte>>> announced;  // [ranks]
  std::vector<std::deque<std::vector<std::byte>>> sent;       // [ranks] by each one
};

/// All ranks of an instance, and those of each of its stages.
struct ThreadInstance {
  ThreadInstance(int tp, int the_stages, std::size_t capacity) : all(tp * the_stages, capacity) {
    for (int stage = 0; stage < the_stages; ++stage) stages.push_back(std::make_unique<ThreadGroup>(tp, capacity));
  }
  std::unique_ptr<Collective> collective(int rank);

  ThreadGroup all;
  std::vector<std::unique_ptr<ThreadGroup>> stages;
};

class ThreadCollective final : public Collective {
 public:
  ThreadCollective(ThreadGroup& group, int rank) : group_(group), rank_(rank), shown_(std::size_t(group.degree)) {}

  int degree() const override { return group_.degree; }
  int instance_rank() const override { return rank_; }
  std::size_t capacity_bytes() const override { return group_.capacity; }
  std::byte* outbox() override { return group_.box(turn_, rank_); }
  std::span<std::byte const* const> exchange(std::span<std::size_t const> bytes) override {
    ensure(bytes[std::size_t(rank_)] <= group_.capacity, "too many bytes to exchange");
    group_.everybody.arrive_and_wait();
    for (int rank = 0; rank < group_.degree; ++rank) shown_[std::size_t(rank)] = group_.box(turn_, rank);
    ++turn_;
    return shown_;
  }
  void announce(std::span<std::byte const> message) override {
    std::lock_guard const lock(group_.mutex);
    for (std::size_t rank = 1; rank < group_.announced.size(); ++rank)
      group_.announced[rank].emplace_back(message.begin(), message.end());
    group_.changed.notify_all();
  }
  std::optional<std::vector<std::byte>> await_announcement(Microseconds patience_us) override {
    std::unique_lock lock(group_.mutex);
    auto& own = group_.announced[std::size_t(rank_)];
    if (!group_.changed.wait_for(lock, std::chrono::microseconds(patience_us), [&] { return !own.empty(); }))
      return std::nullopt;
    auto message = std::move(own.front());
    own.pop_front();
    return message;
  }
  void send(int, std::span<std::byte const> bytes) override {
    std::lock_guard const lock(group_.mutex);
    group_.sent[std::size_t(rank_)].emplace_back(bytes.begin(), bytes.end());
    group_.changed.notify_all();
  }
  void receive(int from, std::span<std::byte> bytes) override {
    std::unique_lock lock(group_.mutex);
    auto& lane = group_.sent[std::size_t(from)];
    group_.changed.wait(lock, [&] { return !lane.empty(); });
    ensure(lane.front().size() == bytes.size(), "another number of bytes was sent");
    std::copy(lane.front().begin(), lane.front().end(), bytes.begin());
    lane.pop_front();
  }

 private:
  ThreadGroup& group_;
  int rank_;
  unsigned turn_ = 0;
  std::vector<std::byte const*> shown_;
};

inline std::unique_ptr<Collective> ThreadInstance::collective(int rank) {
  int const tp = stages.front()->degree;
  return std::make_unique<StagedCollective>(
      std::make_unique<ThreadCollective>(all, rank),
      std::make_unique<ThreadCollective>(*stages[std::size_t(rank / tp)], rank % tp));
}

}  // namespace windlass::testing_data
