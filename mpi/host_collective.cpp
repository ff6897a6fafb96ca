#include "mpi/host_collective.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "mpi/shared_counter.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr std::size_t notice_bytes = std::size_t{64} << 10;  ///< longer announcements come in pieces
constexpr Microseconds look_us = 50'000;                     ///< between two looks whether a rank is alive
constexpr Microseconds jump_us = 2'000'000;  ///< a look that takes so much longer: this process was stopped

/// Process ids mean the same in processes that see the same namespace.
std::uint64_t pid_namespace() {
  struct stat facts {};
  return ::stat("/proc/self/ns/pid", &facts) == 0 ? std::uint64_t(facts.st_ino) : 0;
}

constexpr std::uint32_t lane_parts = 2;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

struct HostCollective::RankPart {
  SharedCounter arrived;  ///< exchanges that this rank's outbox is ready for
  SharedCounter read;     ///< pieces of announcements that this rank has read
  SharedCounter sent;     ///< pieces in this rank's lane
  SharedCounter taken;    ///< of these, by whom they were sent to
  SharedCounter present;  ///< 1: pid and space are written
  std::uint64_t pid_space;
  std::int64_t pid;
};

struct HostCollective::Header {
  SharedCounter notices;      ///< pieces of announcements written
  std::uint64_t total_bytes;  ///< of the announcement
  std::uint64_t piece_bytes;  ///< of the piece on the board
};

/// Waits for counters of other ranks, as long as these live.
class HostCollective::Members {
 public:
  Members(HostCollective& group) : group_(group), processes_(std::size_t(group.degree()), -1) {
    RankPart& own = group.part(group.instance_rank());
    own.pid = ::getpid();
    own.pid_space = pid_namespace();
    own.present.raise_to(1);
  }
  ~Members() {
    for (int const process : processes_)
      if (process >= 0) ::close(process);
  }
  Members(Members const&) = delete;
  Members& operator=(Members const&) = delete;

  void wait(int rank, SharedCounter& counter, std::uint32_t value) {
    if (counter.wait_for(value, look_us)) return;
    Microseconds waited = look_us;
    for (Microseconds before = now_us(); !counter.wait_for(value, look_us);) {
      if (is_dead(rank) && !counter.wait_for(value, 0)) lost(rank, "is dead");
      Microseconds const now = now_us();
      waited = now - before > look_us + jump_us ? 0 : waited + now - before;
      before = now;
      if (waited > group_.config_.silence_us) lost(rank, text("has been silent for ", waited / 1000, " ms"));
    }
  }

  bool is_dead(int rank) {
    int& process = processes_[std::size_t(rank)];
    RankPart const& part = group_.part(rank);
    if (process < 0) {
      if (part.present.value() == 0 || part.pid_space != pid_namespace() || part.pid_space == 0) return false;
      process = int(::syscall(SYS_pidfd_open, pid_t(part.pid), 0));
      if (process < 0) return errno == ESRCH;
    }
    pollfd poll{.fd = process, .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, 0) == 1;
  }

  [[noreturn]] void lost(int rank, std::string const& why) const {
    throw InstanceBroken(
        text("rank ", rank, " of the ", group_.degree(), " of this instance ", why, ": the instance cannot go on"));
  }

 private:
  HostCollective& group_;
  std::vector<int> processes_;  // [ranks] pidfd, or -1
};

std::size_t HostCollective::segment_bytes(int degree, CollectiveConfig const& config) {
  std::size_t const head = round_up(sizeof(Header) + std::size_t(degree) * sizeof(RankPart), 4096);
  return head + notice_bytes + std::size_t(degree) * (2 * config.capacity_bytes + config.lane_bytes);
}

HostCollective::HostCollective(SharedSegment segment, CollectivePlace place, CollectiveConfig const& config)
    : segment_(std::move(segment)),
      place_(place),
      config_(config),
      received_(std::size_t(place.degree)),
      shown_(std::size_t(place.degree)) {
  ensure(config.capacity_bytes % 64 == 0 && config.lane_bytes % (64 * lane_parts) == 0, "boxes of odd sizes");
  ensure(segment_.bytes().size() >= segment_bytes(place.degree, config), "the segment of an instance is too small");
  members_ = std::make_unique<Members>(*this);
}

HostCollective::~HostCollective() = default;

HostCollective::Header& HostCollective::header() const { return *reinterpret_cast<Header*>(segment_.bytes().data()); }

HostCollective::RankPart& HostCollective::part(int rank) const {
  return reinterpret_cast<RankPart*>(segment_.bytes().data() + sizeof(Header))[rank];
}

std::span<std::byte> HostCollective::notice_board() const {
  std::size_t const behind = std::size_t(place_.degree) * (2 * config_.capacity_bytes + config_.lane_bytes);
  std::size_t const head = segment_bytes(place_.degree, config_) - behind - notice_bytes;
  return segment_.bytes().subspan(head, notice_bytes);
}

std::byte* HostCollective::box(std::uint32_t turn, int rank) const {
  std::size_t const index = std::size_t(turn % 2) * std::size_t(place_.degree) + std::size_t(rank);
  return notice_board().data() + notice_bytes + index * config_.capacity_bytes;
}

std::span<std::byte> HostCollective::lane_part(int from, std::uint32_t piece) const {
  std::size_t const boxes = 2 * std::size_t(place_.degree) * config_.capacity_bytes;
  std::size_t const bytes = config_.lane_bytes / lane_parts;
  std::size_t const index = std::size_t(from) * lane_parts + piece % lane_parts;
  return {notice_board().data() + notice_bytes + boxes + index * bytes, bytes};
}

std::byte* HostCollective::outbox() { return box(turn_, place_.instance_rank); }

/// Turn n + 2 writes where turn n was read: whoever has come to the meeting of turn n + 1 has read turn n.
std::span<std::byte const* const> HostCollective::exchange(std::span<std::size_t const> bytes) {
  ensure(bytes[std::size_t(place_.instance_rank)] <= config_.capacity_bytes, "more is exchanged than an outbox holds");
  part(place_.instance_rank).arrived.raise_to(turn_ + 1);
  for (int rank = 0; rank < place_.degree; ++rank) {
    if (rank != place_.instance_rank) members_->wait(rank, part(rank).arrived, turn_ + 1);
    shown_[std::size_t(rank)] = box(turn_, rank);
  }
  ++turn_;
  return shown_;
}

void HostCollective::send(int to, std::span<std::byte const> bytes) {
  ensure(config_.lane_bytes > 0, "the ranks of this group send nothing to each other");
  RankPart& own = part(place_.instance_rank);
  while (!bytes.empty()) {
    members_->wait(to, own.taken, sent_ + 1 - lane_parts);
    auto const lane = lane_part(place_.instance_rank, sent_);
    auto const piece = bytes.first(std::min(lane.size(), bytes.size()));
    std::memcpy(lane.data(), piece.data(), piece.size());
    own.sent.raise_to(++sent_);
    bytes = bytes.subspan(piece.size());
  }
}

void HostCollective::receive(int from, std::span<std::byte> bytes) {
  ensure(config_.lane_bytes > 0, "the ranks of this group send nothing to each other");
  RankPart& sender = part(from);
  std::uint32_t& received = received_[std::size_t(from)];
  while (!bytes.empty()) {
    members_->wait(from, sender.sent, received + 1);
    auto const lane = lane_part(from, received);
    auto const piece = bytes.first(std::min(lane.size(), bytes.size()));
    std::memcpy(piece.data(), lane.data(), piece.size());
    sender.taken.raise_to(++received);
    bytes = bytes.subspan(piece.size());
  }
}

void HostCollective::wait_for_readers() {
  for (int rank = 1; rank < place_.degree; ++rank) members_->wait(rank, part(rank).read, notices_);
}

void HostCollective::announce(std::span<std::byte const> message) {
  std::size_t done = 0;
  do {
    wait_for_readers();
    std::size_t const piece = std::min(notice_bytes, message.size() - done);
    std::memcpy(notice_board().data(), message.data() + done, piece);
    header().total_bytes = message.size();
    header().piece_bytes = piece;
    done += piece;
    header().notices.raise_to(++notices_);
  } while (done < message.size());
}

std::optional<std::vector<std::byte>> HostCollective::await_announcement(Microseconds patience_us) {
  if (!header().notices.wait_for(notices_ + 1, patience_us)) {
    if (members_->is_dead(0)) members_->lost(0, "is dead");
    return std::nullopt;
  }
  std::vector<std::byte> message;
  std::size_t total = 0;
  do {
    members_->wait(0, header().notices, notices_ + 1);
    total = header().total_bytes;
    auto const piece = notice_board().first(header().piece_bytes);
    message.insert(message.end(), piece.begin(), piece.end());
    part(place_.instance_rank).read.raise_to(++notices_);
  } while (message.size() < total);
  return message;
}

}  // namespace windlass
