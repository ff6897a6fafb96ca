// The machine's own limits, one JSON line each: read bandwidth of memory and caches, peak multiply-add rates.
//   machine [--threads N] [--memory-mib 1024]
#include <cstdio>
#include <vector>

#include "bench/arguments.hpp"
#include "kernels/peak_rates.hpp"

namespace windlass {
namespace {

void print(std::string const& what, int threads, char const* unit, MeasuredRate const& rate) {
  std::printf("{\"what\":\"%s\",\"threads\":%d,\"unit\":\"%s\",\"min\":%.1f,\"median\":%.1f,\"max\":%.1f}\n",
              what.c_str(), threads, unit, rate.min, rate.median, rate.max);
  std::fflush(stdout);
}

void measure_with(CoreSet const& cores, long long threads, std::size_t memory_bytes) {
  ThreadTeam team(bench::bench_team(cores, threads));
  for (std::size_t bytes : {memory_bytes, std::size_t{16} << 20, (std::size_t{512} << 10) * std::size_t(threads)})
    print(text("read ", bytes >> 10, " KiB"), team.size(), "GB/s", measure_read(LimitBuffer(bytes, team), team));
  for (ArithmeticLimit const& limit : measure_arithmetic(team))
    print(text(limit.type, " ", limit.instruction), team.size(), "Gop/s", limit.rate);
}

int run(int argc, char** argv) {
  CoreSet const cores = find_cores();
  bench::Arguments const arguments(argc, argv, {{"threads", text(cores.usable_threads())}, {"memory-mib", "1024"}});
  long long const threads = arguments.integer("threads");
  std::size_t const memory_bytes = std::size_t(arguments.integer("memory-mib")) << 20;
  measure_with(cores, 1, memory_bytes);
  if (threads != 1) measure_with(cores, threads, memory_bytes);
  return 0;
}

}  // namespace
}  // namespace windlass

int main(int argc, char** argv) {
  try {
    return windlass::run(argc, argv);
  } catch (std::exception const& error) {
    std::fprintf(stderr, "machine: %s\n", error.what());
    return 2;
  }
}
