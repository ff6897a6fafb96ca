// Speed of a tokenizer, one thread; one JSON line each.
//   tokenizer_bench --model MODEL [--source FOLDER] [--english FILE] [--mixed FILE] [--repetitions 7]
// MODEL is a GGUF file or a folder with tokenizer.json. English text is FILE, or LICENSE and every README.md of FOLDER
// (this tree); mixed text is FILE, or the C++ sources of FOLDER and as many bytes of random Chinese characters, the
// common ones more often. Each repetition encodes or decodes the whole text in one call, and begins with no cached
// words; time is what the thread used of a core. Further lines encode 1 MB of one letter, of spaces and so on: what
// makes careless tokenizers quadratic.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

#include "bench/arguments.hpp"
#include "src/model/gguf.hpp"
#include "src/model/tokenizer.hpp"

namespace windlass::bench {
namespace {
namespace fs = std::filesystem;

std::string read_file(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(text(path, " cannot be read"));
  return {std::istreambuf_iterator<char>(file), {}};
}

/// All files below `folder` whose name ends in `ending`, by name, one after the other.
std::string read_files(std::string const& folder, std::string const& ending) {
  std::vector<std::string> paths;
  for (auto const& entry : fs::recursive_directory_iterator(folder)) {
    std::string const path = entry.path().string();
    if (entry.is_regular_file() && path.ends_with(ending) && path.find("/build") == std::string::npos)
      paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  std::string all;
  for (std::string const& path : paths) all += read_file(path);
  return all;
}

/// Chinese characters with frequencies that fall as 1 / rank, in phrases of 3 to 14.
std::string chinese(std::size_t bytes) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::string out;
  while (out.size() < bytes) {
    for (auto left = 3 + random() % 12; left > 0; --left) {
      auto const rank = unsigned(std::exp(uniform(random) * std::log(6000.0)));
      unsigned const code = 0x4E00 + (rank * 2654435761u) % 20000;
      out += {char(0xE0 | code >> 12), char(0x80 | (code >> 6 & 0x3F)), char(0x80 | (code & 0x3F))};
    }
    out += random() % 3 == 0 ? "\xE3\x80\x82\n" : "\xEF\xBC\x8C";
  }
  return out;
}

std::string repeated(std::string_view piece) {
  std::string out;
  while (out.size() < 1'000'000) out += piece;
  return out;
}

std::unique_ptr<Tokenizer> read_tokenizer(std::string const& path) {
  if (fs::is_directory(path)) return tokenizer_from_folder(path);
  return tokenizer_from_gguf(GgufFile(path, LoadMode::automatic).metadata());
}

/// What this thread has used of a core: a busy machine does not count.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

class Bench {
 public:
  explicit Bench(Arguments const& arguments)
      : arguments_(arguments), tokenizer_(read_tokenizer(arguments.get("model"))) {}

  void run() {
    std::string const& folder = arguments_.get("source");
    std::string const &english_file = arguments_.get("english"), &mixed_file = arguments_.get("mixed");
    auto const from_tree = [&] { return read_files(folder, "LICENSE") + read_files(folder, "README.md"); };
    std::string const english = english_file.empty() ? from_tree() : read_file(english_file);
    std::string const code = mixed_file.empty() ? read_files(folder, ".cpp") : std::string();
    std::string const mixed = mixed_file.empty() ? code + chinese(code.size()) : read_file(mixed_file);
    measure("english", english);
    measure("code and Chinese", mixed);
    constexpr std::pair<char const*, char const*> pieces[] = {{"letter a", "a"},
                                                              {"spaces", " "},
                                                              {"line ends", "\n"},
                                                              {"digit 0", "0"},
                                                              {"brackets", "("},
                                                              {"combining marks", "\xCC\x81"},
                                                              {"letter and mark", "e\xCC\x81"},
                                                              {"two kinds of marks", "\xCC\x81\xCC\xA3"},
                                                              {"one Chinese letter", "\xE4\xB8\xAD"}};
    for (auto const& [name, piece] : pieces) encode(text("1 MB of ", name), repeated(piece));
  }

 private:
  void measure(std::string const& name, std::string const& content) {
    std::vector<TokenId> const tokens = encode(name, content);
    time({"decode", name, content.size(), tokens.size()},
         [&] { return decode(*tokenizer_, tokens, SpecialText::keep).size(); });
  }

  std::vector<TokenId> encode(std::string const& name, std::string const& content) {
    std::vector<TokenId> const tokens = tokenizer_->encode(content, AddSpecial::no);
    time({"encode", name, content.size(), tokens.size()},
         [&] { return tokenizer_->encode(content, AddSpecial::no).size(); });
    return tokens;
  }

  struct Line {
    char const* operation;
    std::string const& name;
    std::size_t bytes, tokens;
  };

  void time(Line const& line, std::function<std::size_t()> const& work) {
    std::vector<double> rates;
    for (long long i = 0; i < arguments_.integer("repetitions"); ++i) {
      double const begin_s = thread_seconds();
      work();
      rates.push_back(double(line.bytes) * 1e-6 / (thread_seconds() - begin_s));
    }
    std::sort(rates.begin(), rates.end());
    std::cout << text("{\"operation\":\"", line.operation, "\",\"text\":\"", line.name, "\",\"bytes\":", line.bytes,
                      ",\"tokens\":", line.tokens, ",\"median_mb_per_s\":", rates[rates.size() / 2],
                      ",\"min_mb_per_s\":", rates.front(), ",\"max_mb_per_s\":", rates.back(), ",\"threads\":1}")
              << std::endl;
  }

  Arguments const& arguments_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

void run(int argc, char** argv) {
  Arguments const arguments(argc, argv,
                            {{"model", ""}, {"source", "."}, {"english", ""}, {"mixed", ""}, {"repetitions", "7"}});
  Bench(arguments).run();
}

}  // namespace
}  // namespace windlass::bench

int main(int argc, char** argv) {
  try {
    windlass::bench::run(argc, argv);
    return 0;
  } catch (std::exception const& error) {
    std::fprintf(stderr, "tokenizer_bench: %s\n", error.what());
    return 2;
  }
}
