#include "kernels/peak_rates.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

#if defined(WINDLASS_HAS_X86)
#include "kernels/x86/limits.hpp"
#endif

namespace windlass {
namespace {

constexpr int runs = 10;
constexpr std::size_t cache_line_bytes = 64, read_unit_bytes = 512;
constexpr std::size_t run_bytes = 256 << 20;  ///< a run reads at least this much, 5 ms at 50 GB/s
constexpr double run_seconds = 0.03;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What one thread did in one run; alone on its cache line.
struct alignas(cache_line_bytes) ThreadRun {
  double begin_s = 0, end_s = 0, work = 0;
};

/// Runs `work(thread)`, which returns bytes or operations, on all threads: rates from the first begin to the last end.
template <class Work>
MeasuredRate measure(ThreadTeam& team, Work const& work) {
  std::vector<double> rates;
  std::vector<ThreadRun> threads(std::size_t(team.size()));
  for (int run = -1; run < runs; ++run) {  // the first one warms up
    team.run([&](int thread) {
      ThreadRun& mine = threads[std::size_t(thread)];
      mine.begin_s = now_seconds();
      mine.work = work(thread);
      mine.end_s = now_seconds();
    });
    double begin_s = threads[0].begin_s, end_s = threads[0].end_s, sum = 0;
    for (ThreadRun const& thread : threads) {
      begin_s = std::min(begin_s, thread.begin_s);
      end_s = std::max(end_s, thread.end_s);
      sum += thread.work;
    }
    if (run >= 0) rates.push_back(sum / (end_s - begin_s) / 1e9);
  }
  std::sort(rates.begin(), rates.end());
  return {.min = rates.front(), .median = (rates[runs / 2 - 1] + rates[runs / 2]) / 2, .max = rates.back()};
}

std::uint64_t read_once(std::byte const* data, std::size_t bytes) {
#if defined(WINDLASS_HAS_X86)
  return x86::read_once(data, bytes);
#else
  std::uint64_t sum = 0, words[8];
  for (std::size_t at = 0; at < bytes; at += sizeof words) {
    std::memcpy(words, data + at, sizeof words);
    for (std::uint64_t word : words) sum ^= word;
  }
  return sum;
#endif
}

#if defined(WINDLASS_HAS_X86)
struct Kind {
  x86::MultiplyAdd kind;
  char const *type, *instruction;
};
constexpr Kind kinds[] = {{x86::MultiplyAdd::fp32_avx2, "fp32", "avx2"},
                          {x86::MultiplyAdd::fp32_avx512, "fp32", "avx512"},
                          {x86::MultiplyAdd::bf16_avx512, "bf16", "avx512-bf16"},
                          {x86::MultiplyAdd::bf16_amx, "bf16", "amx"},
                          {x86::MultiplyAdd::int8_avx2, "int8", "avx2"},
                          {x86::MultiplyAdd::int8_avx_vnni, "int8", "avx-vnni"},
                          {x86::MultiplyAdd::int8_avx512_vnni, "int8", "avx512-vnni"},
                          {x86::MultiplyAdd::int8_amx, "int8", "amx"}};

/// Rounds that take about run_seconds on one thread.
std::int64_t rounds_of_a_run(x86::MultiplyAdd kind) {
  std::int64_t rounds = 100'000;
  x86::multiply_and_add(kind, rounds);  // the clock of wide instructions settles
  double const begin_s = now_seconds();
  x86::multiply_and_add(kind, rounds);
  return std::max<std::int64_t>(1, std::int64_t(double(rounds) * run_seconds / (now_seconds() - begin_s)));
}
#endif

}  // namespace

LimitBuffer::LimitBuffer(std::size_t bytes, ThreadTeam& team) {
  std::size_t const unit = read_unit_bytes * std::size_t(team.size());
  bytes_ = std::max(unit, (bytes + unit - 1) / unit * unit);
  part_bytes_ = bytes_ / std::size_t(team.size());
  void* const data = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw FileError("memory", text("mmap of ", bytes_, " bytes to measure bandwidth"), errno);
  data_ = {static_cast<std::byte*>(data), Unmap{bytes_}};
  madvise(data, bytes_, MADV_HUGEPAGE);
  team.run([&](int thread) { std::memset(data_.get() + part_bytes_ * std::size_t(thread), 1, part_bytes_); });
}

void LimitBuffer::Unmap::operator()(std::byte* data) const { munmap(data, bytes); }

MeasuredRate measure_read(LimitBuffer const& buffer, ThreadTeam& team) {
  std::size_t const passes = std::max<std::size_t>(1, run_bytes / buffer.bytes());
  return measure(team, [&](int thread) {
    std::uint64_t volatile sink = 0;
    for (std::size_t pass = 0; pass < passes; ++pass) sink = sink ^ read_once(buffer.part(thread), buffer.part_bytes());
    return double(buffer.part_bytes()) * double(passes);
  });
}

std::vector<ArithmeticLimit> measure_arithmetic(ThreadTeam& team) {
  std::vector<ArithmeticLimit> limits;
#if defined(WINDLASS_HAS_X86)
  for (Kind const& kind : kinds) {
    if (!x86::can_run(kind.kind)) continue;
    std::int64_t const rounds = rounds_of_a_run(kind.kind);
    limits.push_back({.type = kind.type,
                      .instruction = kind.instruction,
                      .rate = measure(team, [&](int) { return double(x86::multiply_and_add(kind.kind, rounds)); })});
  }
#else
  (void)team;
#endif
  return limits;
}

double best_rate(std::vector<ArithmeticLimit> const& limits, std::string const& type) {
  double best = 0;
  for (ArithmeticLimit const& limit : limits)
    if (limit.type == type) best = std::max(best, limit.rate.median);
  return best;
}

}  // namespace windlass
