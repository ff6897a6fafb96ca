/// What a model file's configuration says: the specification, and where its weights are.
#pragma once

#include <string>

#include "src/model/spec.hpp"

namespace windlass {

enum class NormWeights : unsigned char { as_stored, plus_one };  ///< plus_one: Gemma stores w where 1 + w multiplies
enum class RopeRows : unsigned char { halves, interleaved };     ///< interleaved: llama in GGUF
enum class BiasExpected : unsigned char { no, yes, if_in_the_file };

/// Names without ".weight" and ".bias"; {l} stands for the layer, {e} for the expert. Empty: the model has none.
struct LayerNames {
  std::string attention_norm, post_attention_norm, ffn_norm, post_ffn_norm, q_norm, k_norm;
  std::string q, k, v;  ///< or
  std::string qkv;      ///< all rows in one tensor
  std::string output;
  std::string gate, up;  ///< or
  std::string gate_up;   ///< all rows in one tensor
  std::string down;
  std::string router;
  std::string expert_gate, expert_up, expert_down;  ///< without {e}: all experts in one tensor [experts, rows, columns]
};

struct WeightNames {
  std::string embedding, final_norm, head;
  LayerNames layer;
  NormWeights norms = NormWeights::as_stored;
  RopeRows rope_rows = RopeRows::halves;
  BiasExpected qkv_bias = BiasExpected::no, output_bias = BiasExpected::no;
  std::string text_prefix;  ///< every tensor below it is needed (others, such as a vision tower, are not)
};

struct Blueprint {
  ModelSpec spec;
  WeightNames names;
  int longest_positions = 0;  ///< what rope scaling allows --max-model-len to be; >= spec.max_positions
};

}  // namespace windlass
