/// Percentiles of durations in constant memory.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "src/core/clock.hpp"

namespace windlass {

/// Durations from 1 µs to a day, each counted in a bucket 1 % wide, so a percentile is right within 0.5 %.
class LatencyHistogram {
 public:
  void add(double duration_us) {
    ++buckets_[bucket_of(duration_us)];
    ++count_;
    sum_us_ += duration_us;
  }
  std::uint64_t count() const { return count_; }

  double mean_us() const { return count_ > 0 ? sum_us_ / double(count_) : 0; }

  /// The duration that `percent` of them do not exceed, in µs; 0 where there are none.
  double percentile_us(double percent) const {
    auto const wanted = std::uint64_t(std::ceil(percent / 100 * double(count_)));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
      seen += buckets_[bucket];
      if (seen >= wanted && seen > 0) return std::pow(growth, double(bucket) + 0.5);
    }
    return 0;
  }

 private:
  static constexpr double growth = 1.01;

  static std::size_t bucket_of(double duration_us) {
    if (duration_us <= 1) return 0;
    return std::min(std::size_t(std::log(duration_us) / std::log(growth)), bucket_count - 1);
  }
  static constexpr std::size_t bucket_count = 2540;  ///< 1.01^2540 µs is a day and some hours

  std::array<std::uint64_t, bucket_count> buckets_{};
  std::uint64_t count_ = 0;
  double sum_us_ = 0;
};

}  // namespace windlass
