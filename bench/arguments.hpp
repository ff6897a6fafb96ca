/// Options of the benchmark programs (--name value) and their threads.
#pragma once

#include <map>
#include <string>

#include "mpi/topology.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/core/thread_team.hpp"

namespace windlass::bench {

class Arguments {
 public:
  /// `defaults` are all the options there are. Throws InputError for any other, or one without a value.
  Arguments(int count, char const* const* words, std::map<std::string, std::string> defaults)
      : values_(std::move(defaults)) {
    for (int i = 1; i < count; i += 2) {
      std::string const word = words[i];
      auto const found = word.rfind("--", 0) == 0 ? values_.find(word.substr(2)) : values_.end();
      if (found == values_.end() || i + 1 == count) throw InputError(text(word, ": ", usage()));
      found->second = words[i + 1];
    }
  }

  std::string const& get(std::string const& name) const { return values_.at(name); }
  /// Throws InputError where the value is not a whole number.
  long long integer(std::string const& name) const {
    try {
      std::size_t end = 0;
      long long const value = std::stoll(get(name), &end);
      if (end == get(name).size()) return value;
    } catch (std::logic_error const&) {
    }
    throw InputError(text("--", name, " ", get(name), " is not a whole number"));
  }

 private:
  std::string usage() const {
    std::string names = "the options are";
    for (auto const& [name, value] : values_) names += text(" --", name, " (", value.empty() ? "none" : value, ")");
    return names;
  }
  std::map<std::string, std::string> values_;
};

/// A team of `threads` pinned threads. Throws InputError where the process may not use so many cores.
inline ThreadTeamConfig bench_team(CoreSet const& cores, long long threads) {
  if (threads < 1 || threads > static_cast<long long>(cores.cpus.size()))
    throw InputError(text("--threads ", threads, ": this process may use 1 to ", cores.cpus.size(), " cores"));
  return {.threads = int(threads), .cpus = {cores.cpus.begin(), cores.cpus.begin() + std::ptrdiff_t(threads)}};
}

}  // namespace windlass::bench
