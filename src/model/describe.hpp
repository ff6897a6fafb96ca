/// What `windlass inspect MODEL` prints: read from the headers; no weight is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/model/model.hpp"

namespace windlass {

struct TensorTypeSummary {
  std::string type;  ///< "Q4_1"
  int tensors = 0;
  std::uint64_t weights = 0, bytes = 0;
};

struct ModelDescription {
  ModelSpec spec;
  int longest_positions = 0;             ///< what rope scaling allows; >= spec.max_positions
  std::vector<TensorTypeSummary> types;  ///< most bytes first
  std::uint64_t file_bytes = 0;
  std::uint64_t weight_bytes = 0;  ///< packed, each tensor in its own form (fused ones of unlike types take a bit more)
};

/// Throws as load_model does where headers or configuration are wrong.
ModelDescription describe(ModelConfig const& config);

/// KV of one sequence of `tokens` tokens. `bytes_per_value`: 2 (bf16) or 4 (f32). Layers with a window keep at most
/// the blocks that it touches.
std::uint64_t kv_bytes(ModelSpec const& spec, int bytes_per_value, std::uint64_t tokens);

/// The longest sequence whose KV fits into `memory_bytes`; nothing: any length does, as every layer has a window.
std::optional<std::uint64_t> tokens_that_fit(ModelSpec const& spec, int bytes_per_value, std::uint64_t memory_bytes);

struct InspectOptions {
  int bytes_per_value = 2;         ///< of the KV cache
  std::uint64_t memory_bytes = 0;  ///< for weights and KV together; 0: not known
};

/// Whole lines for people.
std::string to_text(ModelDescription const& description, InspectOptions const& options);

}  // namespace windlass
