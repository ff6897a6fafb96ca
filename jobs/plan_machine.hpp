/// A planning problem that is found out instead of written down: the model from its file, the hardware from here.
#pragma once

#include <string>

#include "jobs/layout_search.hpp"

namespace windlass {

struct MachineProblem {
  std::string model_path;    ///< a GGUF file or a Hugging Face folder
  std::string profile_path;  ///< of windlass bench --profile; empty: steps come from the machine's measured limits
  int nodes = 1;             ///< machines like this one
  int ranks = 0;             ///< of one machine; 0: one a core, a power of two, 8 at most
  double link_gb_per_s = 1;  ///< between machines
  std::int64_t prompt_tokens = 512, output_tokens = 128;
  ServiceLevel level{.ttft_ms = 3'000, .tpot_ms = 100};
  double target = 0.9;
};

struct FoundProblem {
  LayoutProblem problem;
  std::string words;  ///< what was found, a line each
};

/// Reads the model's headers and measures memory and arithmetic for about a second: keep the machine quiet. Throws as
/// describe() does, and InputError where more ranks are wanted than there are cores.
FoundProblem find_problem(MachineProblem const& wanted);

/// Shape of a model as its headers tell it. `kv_bytes_per_value`: 2 (bf16) or 4.
ModelShape shape_of(std::string const& model_path, double kv_bytes_per_value);

}  // namespace windlass
