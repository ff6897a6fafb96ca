#include "src/model/weight_loader.hpp"

#include <gtest/gtest.h>

#include "kernels/reference/dequantize.hpp"
#include "src/core/error.hpp"
#include "src/core/thread_team.hpp"
#include "src/model/architecture/hugging_face.hpp"
#include "src/model/model_files.hpp"
#include "src/model/safetensors.hpp"

namespace windlass {
namespace {

std::string reference(std::string const& name) { return WINDLASS_SOURCE_DIR "/inputs/reference/" + name; }

struct Folder {
  TensorTable tensors;
  Blueprint blueprint;
  Weights weights;
};

Blueprint blueprint_of(std::string const& name, TensorTable const& tensors, std::string const& overrides = "{}") {
  std::string const path = reference(name) + "/config.json";
  boost::json::object config = parse_json_object(read_text_file(path, 1 << 20), path);
  merge_json(config, parse_json_object(overrides, "overrides"));
  return blueprint_from_config(config, tensors, path);
}

Folder load(std::string const& name) {
  ThreadTeam team({.threads = 2});
  TensorTable tensors = open_safetensors(reference(name), LoadMode::automatic);
  Blueprint blueprint = blueprint_of(name, tensors);
  Weights weights = load_weights(blueprint, tensors, Precision::f32, team);
  return {std::move(tensors), std::move(blueprint), std::move(weights)};
}

std::vector<float> values(TensorTable const& tensors, std::string const& name) {
  Tensor const& tensor = *tensors.find(name);
  std::vector<std::byte> bytes(tensor.bytes);
  tensor.file->read(tensor.offset, bytes);
  std::vector<float> out(std::size_t(tensor.rows() * tensor.columns()));
  reference::dequantize(tensor.type, bytes, out);
  return out;
}

/// Rows [first_row …) of `matrix` are the tensor's.
void expect_rows(PackedMatrix const& matrix, int first_row, Folder const& from, std::string const& name) {
  std::vector<float> const expected = values(from.tensors, name);
  int const rows = int(expected.size()) / matrix.columns;
  ASSERT_LE(first_row + rows, matrix.rows);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < matrix.columns; ++c)
      ASSERT_EQ(weight_at(matrix, first_row + r, c), expected[std::size_t(r * matrix.columns + c)]) << name;
}

TEST(WeightLoader, FusesQueriesKeysAndValuesAndGateAndUp) {
  Folder const folder = load("llama-gqa");

  LayerWeights const& layer = folder.weights.layers[1];
  std::string const p = "model.layers.1.";
  EXPECT_EQ(layer.qkv.rows, (8 + 2 * 2) * 16);
  expect_rows(layer.qkv, 0, folder, p + "self_attn.q_proj.weight");
  expect_rows(layer.qkv, 128, folder, p + "self_attn.k_proj.weight");
  expect_rows(layer.qkv, 160, folder, p + "self_attn.v_proj.weight");
  expect_rows(layer.output, 0, folder, p + "self_attn.o_proj.weight");
  expect_rows(layer.dense.gate_up, 0, folder, p + "mlp.gate_proj.weight");
  expect_rows(layer.dense.gate_up, 256, folder, p + "mlp.up_proj.weight");
  expect_rows(layer.dense.down, 0, folder, p + "mlp.down_proj.weight");
  EXPECT_EQ(std::vector<float>(layer.ffn_norm), values(folder.tensors, p + "post_attention_layernorm.weight"));
  EXPECT_TRUE(layer.qkv_bias.empty() && layer.q_norm.empty() && layer.experts.empty());
  expect_rows(folder.weights.head, 0, folder, "lm_head.weight");
}

TEST(WeightLoader, ATiedHeadSharesTheEmbeddingsBytes) {
  Folder const tied = load("llama3-rope-tied-bf16"), untied = load("llama-gqa");

  EXPECT_EQ(tied.weights.head.bytes.data(), tied.weights.embedding.bytes.data());
  EXPECT_EQ(tied.weights.embedding.format, WeightFormat::bf16);
  EXPECT_EQ(tied.weights.size_bytes() % 64, 0u);
  EXPECT_NE(untied.weights.head.bytes.data(), untied.weights.embedding.bytes.data());
}

TEST(WeightLoader, BiasesAreInTheOrderOfTheRowsAndFilledUpToPanels) {
  Folder const folder = load("qwen2-sharded");

  std::vector<float> const& bias = folder.weights.layers[2].qkv_bias;
  std::vector<float> const q = values(folder.tensors, "model.layers.2.self_attn.q_proj.bias");
  std::vector<float> const v = values(folder.tensors, "model.layers.2.self_attn.v_proj.bias");
  EXPECT_EQ(bias.size(), std::size_t(folder.weights.layers[2].qkv.panels()) * 16);
  EXPECT_EQ(bias[5], q[5]);
  EXPECT_EQ(bias[96 + 32 + 3], v[3]);
}

TEST(WeightLoader, ExpertsAndTheirRouterAreLoaded) {
  Folder const folder = load("qwen3moe-6x2");

  LayerWeights const& layer = folder.weights.layers[1];
  ASSERT_EQ(layer.experts.size(), 6u);
  EXPECT_EQ(layer.router.format, WeightFormat::f32);
  expect_rows(layer.router, 0, folder, "model.layers.1.mlp.gate.weight");
  expect_rows(layer.experts[4].gate_up, 0, folder, "model.layers.1.mlp.experts.4.gate_proj.weight");
  expect_rows(layer.experts[4].gate_up, 48, folder, "model.layers.1.mlp.experts.4.up_proj.weight");
  expect_rows(layer.experts[4].down, 0, folder, "model.layers.1.mlp.experts.4.down_proj.weight");
  EXPECT_EQ(layer.q_norm.size(), 16u);
  EXPECT_TRUE(layer.dense.gate_up.bytes.empty());
}

TEST(WeightLoader, HashesDifferBetweenModelsAndAgreeBetweenLoads) {
  ThreadTeam team({.threads = 1});
  auto const identity = [&](std::string const& name) { return load_network({.path = reference(name)}, team).identity; };
  Hash128 const a = identity("llama-gqa"), again = identity("llama-gqa"), b = identity("qwen3-v5config");

  EXPECT_EQ(a, again);
  EXPECT_NE(a, b);
}

std::string problem(std::string const& name, std::string const& overrides) {
  ThreadTeam team({.threads = 1});
  try {
    TensorTable const tensors = open_safetensors(reference(name), LoadMode::automatic);
    load_weights(blueprint_of(name, tensors, overrides), tensors, Precision::f32, team);
  } catch (InputError const& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_NAMES(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

TEST(WeightLoader, TensorsThatAreMissingWrongOrLeftOverAreNamed) {
  EXPECT_NAMES(problem("llama-gqa", R"({"num_hidden_layers": 4})"),
               "model.safetensors: tensor model.layers.3.input_layernorm.weight is missing");
  EXPECT_NAMES(problem("llama-gqa", R"({"vocab_size": 500})"),
               "tensor model.embed_tokens.weight has the shape [512, 128], but the configuration asks for [500, 128]");
  EXPECT_NAMES(problem("llama-gqa", R"({"intermediate_size": 255})"), "model.layers.0.mlp.down_proj.weight");
  EXPECT_NAMES(problem("qwen2-sharded", R"({"model_type": "llama"})"), "self_attn.k_proj.bias is not part of");
  EXPECT_NAMES(problem("llama-gqa", R"({"attention_bias": true})"), "self_attn.q_proj.bias is missing");
  EXPECT_NAMES(problem("llama3-rope-tied-bf16", R"({"tie_word_embeddings": false})"), "lm_head.weight is missing");
}

TEST(WeightLoader, FewerLayersThanTheFileHasAreAllowed) {
  EXPECT_EQ(problem("llama-gqa", R"({"num_hidden_layers": 2})"), "no error");
}

}  // namespace
}  // namespace windlass
