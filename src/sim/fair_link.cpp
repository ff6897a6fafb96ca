#include "src/sim/fair_link.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace windlass {
namespace {

constexpr double rounding_bytes = 1e-3;  ///< less than this is done

}  // namespace

void FairLink::advance(Microseconds now) {
  double const passed_us = double(now - now_us_);
  for (Transfer& transfer : transfers_) transfer.bytes -= transfer.rate * passed_us;
  now_us_ = now;
}

/// Water filling: all rates rise together; a sender whose link is full stays, until the fabric is full.
void FairLink::share() {
  std::map<std::uint32_t, double> count;  // transfers by sender
  for (Transfer const& transfer : transfers_) count[transfer.sender] += 1;
  std::vector<double> crowded;  // transfers of each sender, the most first: their links fill first
  for (auto const& [sender, transfers] : count) crowded.push_back(transfers);
  std::sort(crowded.rbegin(), crowded.rend());
  double left = fabric_, transfers = double(transfers_.size()), level = 0;
  for (double const own : crowded) {
    level = left / transfers;
    if (own * level <= sender_) break;  // from here on the fabric limits
    left -= sender_;
    transfers -= own;
    level = sender_;
  }
  for (Transfer& transfer : transfers_) transfer.rate = std::min(sender_ / count[transfer.sender], level);
}

void FairLink::add(Microseconds now, Transfer transfer) {
  advance(now);
  transfers_.push_back(transfer);
  share();
}

void FairLink::remove(Microseconds now, std::uint32_t id) {
  advance(now);
  std::erase_if(transfers_, [id](Transfer const& transfer) { return transfer.id == id; });
  share();
}

Microseconds FairLink::next_done_us() const {
  Microseconds next = never_us;
  for (Transfer const& transfer : transfers_)
    next = std::min(next, now_us_ + Microseconds(std::ceil(std::max(0.0, transfer.bytes) / transfer.rate)));
  return next;
}

std::vector<std::uint32_t> FairLink::take_done(Microseconds now) {
  advance(now);
  std::vector<std::uint32_t> done;
  for (Transfer const& transfer : transfers_)
    if (transfer.bytes <= rounding_bytes) done.push_back(transfer.id);
  std::erase_if(transfers_, [](Transfer const& transfer) { return transfer.bytes <= rounding_bytes; });
  share();
  return done;
}

}  // namespace windlass
