/// Inverse frequencies of rotary position embedding, with the ways to stretch them for long context.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "src/model/spec.hpp"

namespace windlass {

enum class RopeScaling : unsigned char { none, linear, llama3, yarn, longrope };

/// The parameters by the names that config.json uses.
struct RopeParameters {
  RopeScaling scaling = RopeScaling::none;
  double theta = 10000;
  double factor = 1;
  int head_dim = 0;
  double partial_rotary_factor = 1;       ///< the first int(head_dim * it) dimensions rotate
  int max_positions = 0;                  ///< max_position_embeddings
  int original_max_positions = 0;         ///< llama3, yarn, longrope
  double low_freq_factor = 1;             ///< llama3
  double high_freq_factor = 4;            ///< llama3
  double beta_fast = 32, beta_slow = 1;   ///< yarn
  double mscale = 0, mscale_all_dim = 0;  ///< yarn; 0: not given
  bool truncate = true;                   ///< yarn: the borders of the ramp are whole dimensions
  std::optional<double> attention_factor;
  std::vector<double> short_factor, long_factor;  ///< longrope, [rotary_dim / 2]
};

/// Step by step in float32, as transformers computes (and models were trained with). Sources: YaRN, arXiv:2309.00071;
/// LongRoPE, arXiv:2402.13753; Llama 3.1's and linear interpolation as transformers has them.
/// Throws InputError, beginning with `source`, where parameters are missing or cannot be.
RopeSpec make_rope(RopeParameters const& parameters, std::string const& source);

/// Positions that the scaling was made for: max_positions, or more.
int longest_positions(RopeParameters const& parameters);

}  // namespace windlass
