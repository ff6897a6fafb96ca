/// The options of `windlass batch`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jobs/engine_options.hpp"
#include "src/policy/layout.hpp"
#include "src/store/journal.hpp"

namespace windlass {

struct BatchOptions {
  EngineOptions engine;
  std::string input, output;
  std::uint64_t seed = 0;
  ExistingOutput existing = ExistingOutput::resume;
  ArithmeticRule arithmetic = ArithmeticRule::must_agree;
  double drain_seconds = 0;
  std::size_t max_line_bytes = 0;
  std::string report_file, status_file;
  bool quiet = false;
  Layout layout;                             ///< of the ranks
  std::string transport;                     ///< "auto" or a name: how KV moves between instances
  double lost_after_seconds = 0;             ///< of silence, after which a rank is lost
  std::map<std::string, std::string> given;  ///< every option with its value, for the report
};

/// Nothing where help was asked for; it is printed. Throws InputError naming the option that is wrong.
std::optional<BatchOptions> parse_batch_options(std::vector<std::string> const& words);

}  // namespace windlass
