#include "mpi/message_collective.hpp"

#include <mpi.h>
#include <unistd.h>

#include <functional>
#include <limits>

#include "mpi/communicator.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

enum MessageTag : int { exchange_tag = 1, announcement_tag = 2, lane_tag = 3 };
constexpr int group_tag = 2000;  ///< of MPI_Comm_create_group

constexpr Microseconds eager_us = 200;  ///< polled without a sleep, as most waits are short
constexpr useconds_t sleep_us = 50;
constexpr Microseconds jump_us = 2'000'000;  ///< between two polls: this process was stopped

/// Polls until `ready`; false where that takes longer than `patience_us`.
bool poll_until(std::function<bool()> const& ready, Microseconds patience_us) {
  Microseconds start = now_us(), before = start;
  while (!ready()) {
    Microseconds const now = now_us();
    if (now - before > jump_us) start = now;
    before = now;
    if (now - start > patience_us) return false;
    if (now - start > eager_us) ::usleep(sleep_us);
  }
  return true;
}

std::byte* aligned(std::vector<std::byte>& bytes) {
  return bytes.data() + (64 - reinterpret_cast<std::uintptr_t>(bytes.data()) % 64) % 64;
}

}  // namespace

struct MessageCollective::Links {
  Communicator group;
  std::vector<MPI_Request> requests;

  bool all_done() {
    int done = 0;
    check_mpi(MPI_Testall(int(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
    return done != 0;
  }
  void send(std::span<std::byte const> bytes, int rank, MessageTag tag) {
    ensure(bytes.size() <= std::size_t(std::numeric_limits<int>::max()), "a message of more than 2 GiB");
    requests.emplace_back();
    check_mpi(MPI_Isend(bytes.data(), int(bytes.size()), MPI_BYTE, rank, tag, group.get(), &requests.back()),
              "MPI_Isend");
  }
  void receive(std::span<std::byte> bytes, int rank, MessageTag tag) {
    requests.emplace_back();
    check_mpi(MPI_Irecv(bytes.data(), int(bytes.size()), MPI_BYTE, rank, tag, group.get(), &requests.back()),
              "MPI_Irecv");
  }
  /// Throws InstanceBroken; the communicator and its requests are then left as they are.
  void finish(Microseconds silence_us) {
    bool done = false;
    try {
      done = poll_until([&] { return all_done(); }, silence_us);
    } catch (MpiError const& error) {
      group.abandon();
      throw InstanceBroken(text("a rank of this instance is lost: ", error.what()));
    }
    if (!done) {
      group.abandon();
      throw InstanceBroken(text("a rank of this instance has been silent for ", silence_us / 1000, " ms"));
    }
    requests.clear();
  }
};

MessageCollective::MessageCollective(std::vector<int> const& world_ranks, CollectivePlace place,
                                     CollectiveConfig const& config)
    : place_(place),
      config_(config),
      boxes_(2 * std::size_t(place.degree) * config.capacity_bytes + 64),
      shown_(std::size_t(place.degree)) {
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Query_thread(&provided), "MPI_Query_thread");
  if (provided < MPI_THREAD_MULTIPLE)
    throw InputError(
        "this MPI library does not give MPI_THREAD_MULTIPLE, which an instance that spans hosts needs; keep the ranks "
        "of "
        "an instance on one host, or use another MPI");
  links_ = std::unique_ptr<Links>(new Links{.group = group_communicator(world_ranks, group_tag), .requests = {}});
}

MessageCollective::~MessageCollective() = default;

std::byte* MessageCollective::box(std::uint32_t turn, int rank) {
  std::size_t const index = std::size_t(turn % 2) * std::size_t(place_.degree) + std::size_t(rank);
  return aligned(boxes_) + index * config_.capacity_bytes;
}

std::byte* MessageCollective::outbox() { return box(turn_, place_.instance_rank); }

std::span<std::byte const* const> MessageCollective::exchange(std::span<std::size_t const> bytes) {
  std::size_t const own = bytes[std::size_t(place_.instance_rank)];
  ensure(own <= config_.capacity_bytes, "more is exchanged than an outbox holds");
  for (int rank = 0; rank < place_.degree; ++rank) {
    shown_[std::size_t(rank)] = box(turn_, rank);
    if (rank == place_.instance_rank) continue;
    links_->receive({box(turn_, rank), bytes[std::size_t(rank)]}, rank, exchange_tag);
    links_->send({outbox(), own}, rank, exchange_tag);
  }
  links_->finish(config_.silence_us);
  ++turn_;
  return shown_;
}

void MessageCollective::announce(std::span<std::byte const> message) {
  for (int rank = 1; rank < place_.degree; ++rank) links_->send(message, rank, announcement_tag);
  links_->finish(config_.silence_us);
}

void MessageCollective::send(int to, std::span<std::byte const> bytes) {
  links_->send(bytes, to, lane_tag);
  links_->finish(config_.silence_us);
}

void MessageCollective::receive(int from, std::span<std::byte> bytes) {
  links_->receive(bytes, from, lane_tag);
  links_->finish(config_.silence_us);
}

std::optional<std::vector<std::byte>> MessageCollective::await_announcement(Microseconds patience_us) {
  MPI_Status status;
  auto const is_there = [&] {
    int found = 0;
    check_mpi(MPI_Iprobe(0, announcement_tag, links_->group.get(), &found, &status), "MPI_Iprobe");
    return found != 0;
  };
  try {
    if (!poll_until(is_there, patience_us)) return std::nullopt;
  } catch (MpiError const& error) {
    links_->group.abandon();
    throw InstanceBroken(text("the leader of this instance is lost: ", error.what()));
  }
  int bytes = 0;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  std::vector<std::byte> message(static_cast<std::size_t>(bytes));
  links_->receive(message, 0, announcement_tag);
  links_->finish(config_.silence_us);
  return message;
}

}  // namespace windlass
