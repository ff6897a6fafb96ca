/// The options of `windlass batch`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jobs/engine_options.hpp"
#include "src/core/clock.hpp"
#include "src/policy/layout.hpp"
#include "src/store/journal.hpp"

namespace windlass {

struct CheckpointOptions {
  std::string folder;            ///< empty: no checkpoints
  Microseconds interval_us = 0;  ///< 0: only at the end
  int keep = 2;
  std::uint64_t max_bytes = 0;               ///< 0: as many as fit
  std::uint64_t background_bytes_per_s = 0;  ///< 0: no limit
};

struct BatchOptions {
  EngineOptions engine;
  std::string input, output;
  std::uint64_t seed = 0;
  ExistingOutput existing = ExistingOutput::resume;
  ArithmeticRule arithmetic = ArithmeticRule::must_agree;
  double drain_seconds = 0;
  std::size_t max_line_bytes = 0;
  std::string report_file, status_file, trace_file;
  bool quiet = false;
  Layout layout;                  ///< of the ranks
  std::string transport;          ///< "auto" or a name: how KV gets to another instance
  double lost_after_seconds = 0;  ///< of silence, after which a rank is lost
  CheckpointOptions checkpoint;
  double time_left_seconds = 0;              ///< of the allocation; 0: ask the batch system
  bool requeue = false;                      ///< ask the batch system for another allocation when work remains
  std::map<std::string, std::string> given;  ///< every option with its value, for the report
};

/// --layout, --transport and --lost-after-seconds: of whatever runs on several ranks.
void add_rank_options(boost::program_options::options_description& options);
/// "auto", "shared", "window" or "message". Throws InputError.
std::string transport_option(boost::program_options::variables_map const& values);
/// 1 to 3600. Throws InputError.
double lost_after_option(boost::program_options::variables_map const& values);

/// Nothing where help was asked for; it is printed. Throws InputError naming the option that is wrong.
std::optional<BatchOptions> parse_batch_options(std::vector<std::string> const& words);

}  // namespace windlass
