/// What this machine can do at best, measured: the limits that every reported speed stands next to.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "src/core/thread_team.hpp"

namespace windlass {

/// 10^9 bytes or operations a second: the least, the middle and the most of several runs, all threads together.
struct MeasuredRate {
  double min = 0, median = 0, max = 0;
};

/// Zeroed memory on huge pages where the system has them; each thread of a team reads its own part.
class LimitBuffer {
 public:
  /// Rounds `bytes` up so that every thread's part is a multiple of 512 bytes. Throws FileError without memory.
  LimitBuffer(std::size_t bytes, ThreadTeam& team);
  std::size_t bytes() const { return bytes_; }
  std::byte const* part(int thread) const { return data_.get() + part_bytes_ * std::size_t(thread); }
  std::size_t part_bytes() const { return part_bytes_; }

 private:
  struct Unmap {
    std::size_t bytes;
    void operator()(std::byte* data) const;
  };
  std::size_t part_bytes_, bytes_;
  std::unique_ptr<std::byte[], Unmap> data_;  // [bytes_]
};

/// Read bandwidth of the whole team on a buffer of that size: of memory where it exceeds the caches. Local.
MeasuredRate measure_read(LimitBuffer const& buffer, ThreadTeam& team);

struct ArithmeticLimit {
  std::string type;         ///< of the factors: "fp32", "bf16", "int8"
  std::string instruction;  ///< "avx512", "amx" …
  MeasuredRate rate;        ///< 10^9 operations a second; a product and its addition are two
};

/// The peak rate of every multiply-add instruction that this build and CPU have; empty on other processors than x86-64.
/// Takes about 30 ms for each run of each instruction. Local.
std::vector<ArithmeticLimit> measure_arithmetic(ThreadTeam& team);

/// The fastest of `limits` for that type; 0 where there is none.
double best_rate(std::vector<ArithmeticLimit> const& limits, std::string const& type);

}  // namespace windlass
