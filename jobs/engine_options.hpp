/// The options of every subcommand that runs a model.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <cstdint>
#include <map>
#include <string>

#include "src/engine/engine.hpp"
#include "src/model/model.hpp"
#include "src/serve/openai_request.hpp"

namespace windlass {

struct EngineOptions {
  ModelConfig model;
  std::string backend;  ///< "auto" or a name
  int threads = 0;      ///< 0: one per core that the process may use
  int max_num_seqs = 0;
  int max_num_batched_tokens = 0;
  std::int64_t kv_cache_bytes = 0;  ///< 0: from free memory
  PrefixReuse prefix_reuse = PrefixReuse::on;
  std::string served_model_name;
  int max_logprobs = 0;
  bool use_model_sampling_defaults = false;
  std::string record_file;  ///< of the plans; empty: they are not recorded
};

constexpr unsigned help_width = 118, help_text_width = 80;

void add_model_options(boost::program_options::options_description& options);
void add_answer_options(boost::program_options::options_description& options);
void add_machine_options(boost::program_options::options_description& options);

/// Throws InputError naming the option that is wrong.
EngineOptions engine_options(boost::program_options::variables_map const& values);

/// What requests are held to; `model` must outlive it.
RequestRules request_rules(EngineOptions const& options, Model const& model);

/// The value of an option that is a count. Throws InputError where it is below `least`.
int at_least(boost::program_options::variables_map const& values, char const* name, int least);
/// The value of an option that must be there. Throws InputError.
std::string required(boost::program_options::variables_map const& values, char const* name);
/// Throws InputError where it is not a number of seconds up to about 11 days.
double drain_seconds(boost::program_options::variables_map const& values);
/// Every option with its effective value, for reports.
std::map<std::string, std::string> shown_options(boost::program_options::variables_map const& values);

}  // namespace windlass
