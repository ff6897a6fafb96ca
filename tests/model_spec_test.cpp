#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <cmath>

#include "src/core/error.hpp"
#include "src/model/architecture/hugging_face.hpp"
#include "src/model/canonical_slices.hpp"
#include "src/model/file_bytes.hpp"
#include "src/model/safetensors.hpp"

namespace windlass {
namespace {

std::string reference(std::string const& name) { return WINDLASS_SOURCE_DIR "/inputs/reference/" + name; }

boost::json::object config_of(std::string const& folder) {
  std::string const path = folder + "/config.json";
  return parse_json_object(read_text_file(path, 1 << 20), path);
}

Blueprint blueprint_of(std::string const& name, std::string const& overrides = "{}") {
  boost::json::object config = config_of(reference(name));
  merge_json(config, parse_json_object(overrides, "overrides"));
  return blueprint_from_config(config, open_safetensors(reference(name), LoadMode::map), name + "/config.json");
}

std::string problem(std::string const& name, std::string const& overrides) {
  try {
    blueprint_of(name, overrides);
  } catch (InputError const& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_NAMES(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

std::vector<int> windows(ModelSpec const& spec) {
  std::vector<int> out;
  for (LayerSpec const& layer : spec.layers) out.push_back(layer.window);
  return out;
}

TEST(ModelSpec, LlamaHasItsSizesAndPlainRope) {
  ModelSpec const spec = blueprint_of("llama-gqa").spec;

  EXPECT_EQ(spec.architecture, "llama");
  EXPECT_EQ(spec.hidden, 128);
  EXPECT_EQ(spec.heads, 8);
  EXPECT_EQ(spec.kv_heads, 2);
  EXPECT_EQ(spec.head_dim, 16);
  EXPECT_EQ(spec.vocab, 512);
  EXPECT_EQ(spec.ffn, 256);
  EXPECT_EQ(spec.max_positions, 1024);
  EXPECT_EQ(spec.norm_eps, 1e-5);
  EXPECT_EQ(spec.attention_scale, 0.25);
  EXPECT_EQ(spec.embedding_scale, 1);
  EXPECT_FALSE(spec.tied_embeddings);
  EXPECT_EQ(spec.end_tokens, std::vector{TokenId{2}});
  EXPECT_EQ(windows(spec), (std::vector{0, 0, 0}));
  ASSERT_EQ(spec.ropes.size(), 1u);
  EXPECT_EQ(spec.ropes[0].rotary_dim, 16);
  EXPECT_EQ(spec.ropes[0].inverse_frequency[0], 1);
  EXPECT_NEAR(spec.ropes[0].inverse_frequency[1], std::pow(10000, -1 / 8.0), 1e-7);
}

TEST(ModelSpec, TheLlama3RopeKeepsShortWavelengthsAndStretchesLongOnes) {
  ModelSpec const spec = blueprint_of("llama3-rope-tied-bf16").spec;

  std::vector<double> const& frequency = spec.ropes[0].inverse_frequency;
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_EQ(frequency[0], 1);                                                      // wavelength 6.3 < 64 / 4
  EXPECT_NEAR(frequency[7], std::pow(500000, -7 / 8.0) / 8, 1e-12);                // far above 64
  double const plain = std::pow(500000, -1 / 8.0), wavelength = 2 * M_PI / plain;  // 32.4: blended
  double const smooth = (64 / wavelength - 1) / 3;
  EXPECT_NEAR(frequency[1], (1 - smooth) * plain / 8 + smooth * plain, 1e-7);
}

TEST(ModelSpec, QwenModelsHaveBiasesOrHeadNormsAndNoWindowUnlessUsed) {
  Blueprint const qwen2 = blueprint_of("qwen2-sharded"), qwen3 = blueprint_of("qwen3-v5config");

  EXPECT_EQ(qwen2.names.qkv_bias, BiasExpected::yes);
  EXPECT_EQ(qwen2.names.output_bias, BiasExpected::no);
  EXPECT_EQ(windows(qwen2.spec), (std::vector{0, 0, 0}));
  EXPECT_EQ(qwen3.names.qkv_bias, BiasExpected::no);
  EXPECT_EQ(qwen3.names.layer.q_norm, "model.layers.{l}.self_attn.q_norm");
  EXPECT_TRUE(qwen3.spec.tied_embeddings);
  EXPECT_NEAR(qwen3.spec.ropes[0].inverse_frequency[1], std::pow(1e6, -1 / 8.0), 1e-7);  // rope_parameters
}

TEST(ModelSpec, WindowsOfQwenStartAtMaxWindowLayersOrFollowLayerTypes) {
  EXPECT_EQ(windows(blueprint_of("qwen2-sharded", R"({"use_sliding_window": true, "max_window_layers": 1})").spec),
            (std::vector{0, 256, 256}));
  EXPECT_EQ(windows(blueprint_of("qwen2-sharded", R"({"layer_types":
                ["sliding_attention", "full_attention", "sliding_attention"]})")
                        .spec),
            (std::vector{256, 0, 256}));
  EXPECT_NAMES(problem("qwen2-sharded", R"({"layer_types": ["chunked_attention", "x", "x"]})"), "layer_types");
  EXPECT_NAMES(problem("qwen2-sharded", R"({"layer_types": ["full_attention"]})"), "for 3 layers");
}

TEST(ModelSpec, MistralSlidesInEveryLayerUnlessItsWindowIsNull) {
  EXPECT_EQ(windows(blueprint_of("mistral-window128").spec), (std::vector{128, 128, 128}));
  EXPECT_EQ(windows(blueprint_of("mistral-window128", R"({"sliding_window": null})").spec), (std::vector{0, 0, 0}));
}

TEST(ModelSpec, ExpertsOfMixtralAreRenormalisedAndThoseOfThisQwenAreNot) {
  Blueprint const mixtral = blueprint_of("mixtral-4x2"), qwen = blueprint_of("qwen3moe-6x2");

  EXPECT_EQ(mixtral.spec.experts, 4);
  EXPECT_EQ(mixtral.spec.experts_per_token, 2);
  EXPECT_EQ(mixtral.spec.expert_ffn, 96);
  EXPECT_EQ(mixtral.spec.ffn, 0);
  EXPECT_EQ(mixtral.spec.router_normalization, RouterNormalization::softmax_chosen);
  EXPECT_EQ(mixtral.names.layer.expert_up, "model.layers.{l}.block_sparse_moe.experts.{e}.w3");
  EXPECT_EQ(mixtral.spec.norm_eps, 0.01);
  EXPECT_EQ(qwen.spec.expert_ffn, 48);
  EXPECT_EQ(qwen.spec.router_normalization, RouterNormalization::softmax_all);
  EXPECT_TRUE(qwen.spec.layers[0].moe && qwen.spec.layers[1].moe);
}

TEST(ModelSpec, DenseLayersOfMixturesFollowTheConfig) {
  ModelSpec const named = blueprint_of("qwen3moe-6x2", R"({"mlp_only_layers": [0]})").spec;
  ModelSpec const stepped = blueprint_of("qwen3moe-6x2", R"({"decoder_sparse_step": 2})").spec;

  EXPECT_FALSE(named.layers[0].moe);
  EXPECT_TRUE(named.layers[1].moe);
  EXPECT_EQ(named.ffn, 128);
  EXPECT_FALSE(stepped.layers[0].moe);
  EXPECT_TRUE(stepped.layers[1].moe);
}

TEST(ModelSpec, GemmaConventionsComeFromDefaultsAndConfig) {
  Blueprint const two = blueprint_of("llama-gqa", R"({"model_type": "gemma2", "hidden_act": null, "head_dim": 16,
      "query_pre_attn_scalar": 64, "sliding_window": 32, "torch_dtype": "bfloat16"})");

  EXPECT_EQ(two.names.norms, NormWeights::plus_one);
  EXPECT_EQ(two.names.layer.post_ffn_norm, "model.layers.{l}.post_feedforward_layernorm");
  EXPECT_EQ(windows(two.spec), (std::vector{32, 0, 32}));
  EXPECT_EQ(two.spec.gate, GateFunction::gelu_tanh);
  EXPECT_EQ(two.spec.attention_scale, 0.125);
  EXPECT_EQ(two.spec.attention_soft_cap, 50);
  EXPECT_EQ(two.spec.logit_soft_cap, 30);
  EXPECT_EQ(two.spec.embedding_scale, 11.3125);  // sqrt(128) = 11.3137 as bfloat16
}

TEST(ModelSpec, Gemma3HasTwoRopesInEitherConfigStyle) {
  std::string const base = R"("model_type": "gemma3_text", "hidden_act": null, "head_dim": 16, "rope_theta": null,
      "sliding_window": 32, "sliding_window_pattern": 3)";
  ModelSpec const older = blueprint_of("llama-gqa", "{" + base + R"(, "rope_theta": 1e6,
      "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}})")
                              .spec;
  ModelSpec const newer = blueprint_of("llama-gqa", "{" + base + R"(, "rope_parameters": {
      "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
      "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}})")
                              .spec;

  for (ModelSpec const& spec : {older, newer}) {
    EXPECT_EQ(windows(spec), (std::vector{32, 32, 0}));
    EXPECT_EQ(spec.layers[0].rope, 1);
    EXPECT_EQ(spec.layers[2].rope, 0);
    EXPECT_EQ(spec.ropes[0].inverse_frequency[0], 0.125);
    EXPECT_NEAR(spec.ropes[0].inverse_frequency[1], std::pow(1e6, -1 / 8.0) / 8, 1e-8);
    EXPECT_EQ(spec.ropes[1].inverse_frequency[0], 1);
    EXPECT_NEAR(spec.ropes[1].inverse_frequency[1], std::pow(1e4, -1 / 8.0), 1e-7);
    EXPECT_EQ(spec.attention_soft_cap, 0);
  }
}

TEST(ModelSpec, PhiRotatesAPartAndSwitchesBetweenTwoSetsOfFactors) {
  ModelSpec const spec = blueprint_of("llama-gqa", R"({"model_type": "phi3", "partial_rotary_factor": 0.5,
      "max_position_embeddings": 1024, "original_max_position_embeddings": 256,
      "rope_scaling": {"type": "su", "short_factor": [1, 1, 2, 2], "long_factor": [4, 4, 8, 8]}})")
                             .spec;

  RopeSpec const& rope = spec.ropes[0];
  EXPECT_EQ(rope.rotary_dim, 8);
  EXPECT_EQ(rope.long_from, 256);
  EXPECT_EQ(rope.inverse_frequency[0], 1);
  EXPECT_EQ(rope.long_inverse_frequency[0], 0.25);
  EXPECT_NEAR(rope.inverse_frequency[2], 0.01 / 2, 1e-9);
  EXPECT_NEAR(rope.attention_factor, std::sqrt(1 + std::log(4) / std::log(256)), 1e-12);
}

TEST(ModelSpec, OverridesBringRopeScalingAndALongerContext) {
  Blueprint const plain = blueprint_of("qwen3-v5config");
  Blueprint const scaled = blueprint_of(
      "qwen3-v5config",
      R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}})");

  EXPECT_EQ(plain.longest_positions, 1024);
  EXPECT_EQ(scaled.longest_positions, 4096);
  EXPECT_EQ(scaled.spec.max_positions, 1024);
  EXPECT_NEAR(scaled.spec.ropes[0].attention_factor, 0.1 * std::log(4) + 1, 1e-12);
  EXPECT_EQ(scaled.spec.ropes[0].inverse_frequency[0], 1);
  EXPECT_NEAR(scaled.spec.ropes[0].inverse_frequency[7], std::pow(1e6, -7 / 8.0) / 4, 1e-12);
}

TEST(ModelSpec, TheTextPartOfAFolderWithOtherPartsIsUsed) {
  boost::json::object outer{{"architectures", {"Gemma3ForConditionalGeneration"}}, {"model_type", "gemma3"}};
  boost::json::object inner = config_of(reference("qwen3-v5config"));
  outer["text_config"] = inner;
  TensorTable tensors;
  std::string const header = R"({"language_model.model.embed_tokens.weight":
                                 {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})";
  std::vector<std::byte> bytes(8 + header.size() + 4);
  std::uint64_t const length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  add_safetensors(tensors, FileBytes::from_memory("x", std::move(bytes)));

  Blueprint const blueprint = blueprint_from_config(outer, tensors, "x");

  EXPECT_EQ(blueprint.spec.architecture, "qwen3");
  EXPECT_EQ(blueprint.names.embedding, "language_model.model.embed_tokens");
  EXPECT_EQ(blueprint.names.text_prefix, "language_model.model.");
}

TEST(ModelSpec, WhatIsNotSupportedIsNamed) {
  struct Case {
    char const* overrides;
    char const* says;
  };
  Case const cases[] = {
      {R"({"model_type": "mamba"})", "model_type is \"mamba\""},
      {R"({"model_type": null})", "model_type is \"(none)\""},
      {R"({"hidden_act": "relu"})", "hidden_act is \"relu\""},
      {R"({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})", "rope_type is \"dynamic\""},
      {R"({"rope_scaling": {"rope_type": "linear"}})", "factor is missing"},
      {R"({"rope_scaling": {"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}})", "not 8"},
      {R"({"mlp_bias": true})", "mlp_bias is true"},
      {R"({"quantization_config": {"quant_method": "gptq"}})", "quant_method is \"gptq\""},
      {R"({"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}})", "format is"},
      {R"({"num_attention_heads": 7, "head_dim": 16})", "not a multiple of 2 KV heads"},
      {R"({"hidden_size": null})", "hidden_size is missing"},
      {R"({"hidden_size": "big"})", "hidden_size is not an integer"},
      {R"({"hidden_size": -5})", "hidden_size is -5"},
      {R"({"num_hidden_layers": 1000000})", "num_hidden_layers is 1000000"},
      {R"({"vocab_size": 1e30})", "vocab_size is not an integer"},
      {R"({"head_dim": 2000})", "head size of 2000"},
      {R"({"rope_theta": 0})", "rope_theta is 0"},
      {R"({"partial_rotary_factor": 3})", "partial_rotary_factor 3"},
  };
  for (Case const& c : cases) {
    std::string const message = problem("llama-gqa", c.overrides);
    EXPECT_NAMES(message, "llama-gqa/config.json");
    EXPECT_NAMES(message, c.says);
  }
}

TEST(ModelSpec, EveryNumberOfHeadsHasItsCanonicalSlices) {
  for (int kv_heads = 1; kv_heads <= 40; ++kv_heads)
    for (int heads_per_kv = 1; heads_per_kv <= 130; ++heads_per_kv)
      for (int head_dim : {2, 32, 64, 80}) {
        ModelSpec spec;
        spec.kv_heads = kv_heads;
        spec.heads = kv_heads * heads_per_kv;
        spec.head_dim = head_dim;
        Slices const slices = attention_output_slices(spec);
        EXPECT_EQ(slices.borders[std::size_t(slices.count)], (spec.heads * head_dim + 31) / 32)
            << heads_per_kv << " heads for each of " << kv_heads;
      }
}

}  // namespace
}  // namespace windlass
