#include "src/serve/checkpoint_coordinator.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/checkpoint_runner.hpp"

namespace windlass {

CheckpointCoordinator::CheckpointCoordinator(Courier& courier, CheckpointFolder& folder, CheckpointIdentity identity,
                                             CheckpointCoordinatorConfig config)
    : courier_(courier),
      folder_(folder),
      identity_(std::move(identity)),
      config_(std::move(config)),
      number_(folder.next_number() - 1),
      next_us_(config_.interval_us > 0 ? now_us() + config_.interval_us : never_us) {}

void CheckpointCoordinator::tick(std::span<int const> leaders) {
  Microseconds const now = now_us();
  if (now >= next_sign_us_) {
    folder_.sign_of_life();
    next_sign_us_ = now + sign_of_life_us;
  }
  if (now < next_us_ || busy()) return;
  next_us_ = now + config_.interval_us;
  begin(leaders, CheckpointHaste::background, never_us);
}

bool CheckpointCoordinator::begin(std::span<int const> leaders, CheckpointHaste haste, Microseconds until_us) {
  if (busy()) return false;
  ++number_;
  last_ = haste == CheckpointHaste::at_once;
  problem_.clear();
  parts_.clear();
  digests_.clear();
  missing_.insert(leaders.begin(), leaders.end());
  auto const left = until_us == never_us ? never_us : std::max<Microseconds>(0, until_us - now_us());
  for (int const rank : leaders)
    courier_.send(rank, CheckpointOrder{.number = number_,
                                        .time_us = std::uint64_t(left),
                                        .kind = last_ ? CheckpointOrderKind::last : CheckpointOrderKind::background});
  return true;
}

void CheckpointCoordinator::input_ended(std::span<int const> leaders) {
  for (int const rank : leaders) courier_.send(rank, CheckpointOrder{.kind = CheckpointOrderKind::forget_unclaimed});
}

void CheckpointCoordinator::take(Envelope const& envelope) {
  auto const message = decode<CheckpointPart>(envelope.frame);
  auto const tail = tail_of(envelope.frame);
  if (tail.size() < sizeof(CheckpointCounts)) throw WireError("checkpoint part: ends early");
  std::memcpy(&counts_[envelope.source_rank], tail.data(), sizeof(CheckpointCounts));
  if (message.number != number_ || !missing_.contains(envelope.source_rank)) return;  // counts alone
  if (message.written == 0) {
    auto const words = tail.subspan(sizeof(CheckpointCounts));
    problem_ = text("rank ", envelope.source_rank, ": ",
                    std::string(reinterpret_cast<char const*>(words.data()), words.size()));
  } else {
    parts_.push_back(part_name(number_, envelope.source_rank));
    digests_.push_back(message.digest);
  }
  missing_.erase(envelope.source_rank);
  if (missing_.empty()) finish();
}

void CheckpointCoordinator::lose(int world_rank) {
  if (missing_.erase(world_rank) > 0 && missing_.empty()) finish();
}

void CheckpointCoordinator::finish() {
  if (parts_.empty() && problem_.empty()) problem_ = "every rank that wrote a part was lost";
  try {
    if (problem_.empty()) {
      CheckpointMaster master = master_of(number_, identity_);
      master.planned_end = last_;
      master.configuration = config_.configuration;
      master.parts = parts_;
      master.part_digests = digests_;
      folder_.publish(master);
    }
  } catch (std::exception const& error) {
    problem_ = error.what();
  }
  if (!problem_.empty()) log_warning(text("no checkpoint was written: ", problem_, "; the one before stays"));
}

Microseconds CheckpointCoordinator::save_us(std::span<int const> leaders) {
  std::uint64_t pages = 0, block_bytes = 0;
  for (int const rank : leaders) {
    LoadSnapshot const load = courier_.load_of(rank);
    pages = std::max<std::uint64_t>(pages, load.pages - std::min(load.pages, load.free_pages));
  }
  for (CheckpointGroup const& group : identity_.groups) block_bytes += group.page_bytes;
  constexpr Microseconds fixed_us = 500'000;  // for messages, tables and syncs
  return fixed_us + Microseconds(double(pages * block_bytes) / folder_.measured_write_bytes_per_us());
}

CheckpointCounts CheckpointCoordinator::counts() const {
  CheckpointCounts sum;
  for (auto const& [rank, counts] : counts_) sum += counts;
  return sum;
}

}  // namespace windlass
