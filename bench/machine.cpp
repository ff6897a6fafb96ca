// The machine's own limits, one JSON line each: read bandwidth of memory and caches, peak multiply-add rates.
//   machine [--threads N] [--memory-mib 1024]
#include <cstdio>
#include <vector>

#include "bench/arguments.hpp"
#include "kernels/peak_rates.hpp"
#include "mpi/topology.hpp"

namespace windlass {
namespace {

void print(std::string const& what, int threads, char const* unit, MeasuredRate const& rate) {
  std::printf("{\"what\":\"%s\",\"threads\":%d,\"unit\":\"%s\",\"min\":%.1f,\"median\":%.1f,\"max\":%.1f}\n",
              what.c_str(), threads, unit, rate.min, rate.median, rate.max);
  std::fflush(stdout);
}

void measure_with(int threads, std::vector<int> cpus, std::size_t memory_bytes) {
  cpus.resize(std::size_t(threads));
  ThreadTeam team({.threads = threads, .cpus = cpus});
  for (std::size_t bytes : {memory_bytes, std::size_t{16} << 20, (std::size_t{512} << 10) * std::size_t(threads)})
    print(text("read ", bytes >> 10, " KiB"), threads, "GB/s", measure_read(LimitBuffer(bytes, team), team));
  for (ArithmeticLimit const& limit : measure_arithmetic(team))
    print(text(limit.type, " ", limit.instruction), threads, "Gop/s", limit.rate);
}

int run(int argc, char** argv) {
  std::vector<int> const cpus = find_cores().cpus;
  bench::Arguments const arguments(argc, argv, {{"threads", text(cpus.size())}, {"memory-mib", "1024"}});
  int const threads = int(arguments.integer("threads"));
  if (threads < 1 || threads > int(cpus.size()))
    throw InputError(text("--threads ", threads, ": this process may use 1 to ", cpus.size(), " cores"));
  std::size_t const memory_bytes = std::size_t(arguments.integer("memory-mib")) << 20;
  measure_with(1, cpus, memory_bytes);
  if (threads > 1) measure_with(threads, cpus, memory_bytes);
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
