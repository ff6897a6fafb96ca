/// Files that simulations read: step times and traces.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "src/policy/multiplex_estimate.hpp"
#include "src/sim/table_latency.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

struct MeasuredSteps {
  std::string path;   ///< columns model, hardware, tensor_parallel, prompt_size, batch_size, prompt_time, token_time
  std::string model;  ///< as in the file
  std::string hardware;
  int tensor_parallel = 8;
};

/// Medians over the rows with equal prompt_size * batch_size. Throws InputError that names what the file has where
/// nothing matches.
std::shared_ptr<TableLatency const> read_step_table(MeasuredSteps const& steps);

/// The prompt and output columns (ContextTokens, GeneratedTokens) of an Azure trace, drawn independently of each other.
LengthSampler read_azure_lengths(std::string const& path);

/// The requests of an Azure trace as they came. Times are relative to the first.
Workload read_azure_trace(std::string const& path);

/// Times by model name, from a table with columns model, num_gpus, sm_percent, batch_size, sequence_length, prefill_ms,
/// decode_ms (-1: not measured).
std::map<std::string, MultiplexProfile> read_multiplex_profiles(std::string const& path);

/// A Mooncake trace: one JSON object a line with timestamp (ms), input_length, output_length, hash_ids.
Workload read_mooncake_trace(std::string const& path);

}  // namespace windlass
