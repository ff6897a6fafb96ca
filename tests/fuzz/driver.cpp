/// Runs a fuzz target (libFuzzer's entry point) on random changes of a seed corpus for a bounded time, with any
/// compiler. With clang and -fsanitize=fuzzer, and without this file, libFuzzer runs the same targets.
///
///     NAME_fuzz SECONDS SEED FILE_OR_FOLDER…            a failure prints the seed and the iteration
///     NAME_fuzz replay SEED ITERATION FILE_OR_FOLDER…   that one input again
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

/// What runs now, as the handler of a fatal signal prints it.
char running[128];

void report_and_die(int signal) {
  [[maybe_unused]] auto const written = write(STDERR_FILENO, running, std::strlen(running));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::size_t below(Random& random, std::size_t limit) { return std::size_t(random() % limit); }

/// A place below `limit`; every other one is in the first 2 KiB, where formats keep their headers.
std::size_t place(Random& random, std::size_t limit) {
  return below(random, below(random, 2) == 0 ? limit : std::min<std::size_t>(limit, 2048));
}

Input read_file(std::filesystem::path const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Input> read_corpus(int count, char** paths) {
  std::vector<std::filesystem::path> files;
  for (int i = 0; i < count; ++i) {
    if (!std::filesystem::is_directory(paths[i])) {
      files.emplace_back(paths[i]);
      continue;
    }
    for (auto const& entry : std::filesystem::recursive_directory_iterator(paths[i]))
      if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());  // iterations must mean the same on every machine
  std::vector<Input> corpus;
  for (auto const& file : files) corpus.push_back(read_file(file));
  return corpus;
}

/// An integer of 1, 2, 4 or 8 bytes of the kind that breaks readers of lengths and offsets.
void put_nasty_integer(Input& input, Random& random) {
  constexpr std::uint64_t values[] = {0,
                                      1,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0xffff,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      std::uint64_t(1) << 62,
                                      ~std::uint64_t(0) >> 1,
                                      ~std::uint64_t(0)};
  std::uint64_t const value = values[below(random, std::size(values))] - below(random, 3);
  std::size_t const width = std::size_t(1) << below(random, 4);
  if (input.size() < width) return;
  std::memcpy(input.data() + place(random, input.size() - width + 1), &value, width);
}

/// A piece of `other` (or of the input itself) copied over or into some place.
void splice(Input& input, Input const& other, Random& random) {
  if (other.empty()) return;
  std::size_t const from = below(random, other.size()),
                    length = 1 + below(random, std::min<std::size_t>(64, other.size() - from));
  Input const piece(other.begin() + std::ptrdiff_t(from), other.begin() + std::ptrdiff_t(from + length));
  input.insert(input.begin() + std::ptrdiff_t(place(random, input.size() + 1)), piece.begin(), piece.end());
}

void erase_some(Input& input, Random& random) {
  if (input.empty()) return;
  std::size_t const from = place(random, input.size());
  std::size_t const length = 1 + below(random, std::min<std::size_t>(64, input.size() - from));
  input.erase(input.begin() + std::ptrdiff_t(from), input.begin() + std::ptrdiff_t(from + length));
}

void mutate(Input& input, std::vector<Input> const& corpus, Random& random) {
  std::size_t const kind = below(random, 8);
  if (kind == 0) return input.resize(below(random, input.size() + 1));
  if (kind == 1) return erase_some(input, random);
  if (kind == 2) return splice(input, corpus[below(random, corpus.size())], random);
  if (kind <= 4) return put_nasty_integer(input, random);
  if (input.empty()) return input.push_back(std::uint8_t(random()));
  std::size_t const at = place(random, input.size());
  if (kind == 5)
    input[at] ^= std::uint8_t(1u << below(random, 8));
  else if (kind == 6)
    input[at] = std::uint8_t(random());
  else
    input[at] = std::uint8_t("{}[]\",:0-9eE.\\u %\n"[below(random, 18)]);
}

/// Input `iteration` of `seed`, whatever came before.
void run_one(std::vector<Input> const& corpus, std::uint64_t seed, std::uint64_t iteration) {
  Random random(seed * 0x9e3779b97f4a7c15u + iteration);
  Input input = corpus[below(random, corpus.size())];
  if (iteration >= corpus.size())
    for (std::size_t n = 1 + below(random, 6); n > 0; --n) mutate(input, corpus, random);
  else
    input = corpus[iteration];  // the seeds themselves come first
  std::snprintf(running, sizeof running, "fuzz: failed at: replay %llu %llu\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(iteration));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  bool const replay = argc > 3 && std::strcmp(argv[1], "replay") == 0;
  int const first_path = replay ? 4 : 3;
  std::vector<Input> const corpus = read_corpus(std::max(0, argc - first_path), argv + std::min(argc, first_path));
  if (corpus.empty()) {
    std::fprintf(stderr, "usage: %s SECONDS SEED FILE_OR_FOLDER…\n       %s replay SEED ITERATION FILE_OR_FOLDER…\n",
                 argv[0], argv[0]);
    return 2;
  }
  for (int const signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) std::signal(signal, report_and_die);
  std::uint64_t const seed = std::strtoull(argv[2], nullptr, 10);
  if (replay) {
    run_one(corpus, seed, std::strtoull(argv[3], nullptr, 10));
    return 0;
  }
  auto const end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(argv[1]));
  std::uint64_t iterations = 0;
  while (std::chrono::steady_clock::now() < end) run_one(corpus, seed, iterations++);
  std::printf("fuzz: %llu inputs, none failed\n", static_cast<unsigned long long>(iterations));
  return 0;
}
