/// The options of `windlass batch`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/engine/engine.hpp"
#include "src/model/model.hpp"
#include "src/store/journal.hpp"

namespace windlass {

struct BatchOptions {
  ModelConfig model;
  std::string input, output;
  std::string backend;  ///< "auto" or a name
  int threads = 0;      ///< 0: one per core that the process may use
  int max_num_seqs = 0;
  int max_num_batched_tokens = 0;
  std::int64_t kv_cache_bytes = 0;  ///< 0: from free memory
  PrefixReuse prefix_reuse = PrefixReuse::on;
  std::uint64_t seed = 0;
  std::string served_model_name;
  int max_logprobs = 0;
  bool use_model_sampling_defaults = false;
  ExistingOutput existing = ExistingOutput::resume;
  ArithmeticRule arithmetic = ArithmeticRule::must_agree;
  double drain_seconds = 0;
  std::size_t max_line_bytes = 0;
  std::string report_file, status_file;
  bool quiet = false;
  std::map<std::string, std::string> given;  ///< every option with its value, for the report
};

/// Nothing where help was asked for; it is printed. Throws InputError naming the option that is wrong.
std::optional<BatchOptions> parse_batch_options(std::vector<std::string> const& words);

}  // namespace windlass
