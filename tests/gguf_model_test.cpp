/// GGUF metadata and tensors as models: one small file per architecture, made here.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "src/core/error.hpp"
#include "src/core/thread_team.hpp"
#include "src/model/architecture/gguf_blueprint.hpp"
#include "src/model/weight_loader.hpp"
#include "tests/model_file_builder.hpp"

namespace windlass {
namespace {

using Sizes = std::vector<std::uint64_t>;

/// Values 0, 1, 2 … times `step`.
std::vector<float> ramp(std::size_t count, float step = 1) {
  std::vector<float> out(count);
  std::iota(out.begin(), out.end(), 0.0f);
  for (float& value : out) value *= step;
  return out;
}

/// hidden 32, 2 heads and 1 KV head of 16, feed-forward 48, vocabulary 8, 3 layers.
struct SmallModel {
  GgufBuilder file;
  std::string architecture;

  explicit SmallModel(std::string name) : architecture(std::move(name)) {
    file.text("general.architecture", architecture).text("general.name", "small");
    u32("block_count", 3).u32("embedding_length", 32).u32("context_length", 256).u32("feed_forward_length", 48);
    u32("attention.head_count", 2).u32("attention.head_count_kv", 1).f32("attention.layer_norm_rms_epsilon", 1e-5f);
    values("token_embd", {32, 8}).values("output_norm", {32});
  }
  SmallModel& u32(std::string const& key, std::uint32_t value) {
    file.u32(architecture + "." + key, value);
    return *this;
  }
  SmallModel& f32(std::string const& key, float value) {
    file.f32(architecture + "." + key, value);
    return *this;
  }
  SmallModel& text(std::string const& key, std::string const& value) {
    file.text(architecture + "." + key, value);
    return *this;
  }
  SmallModel& values(std::string const& name, Sizes const& sizes) {
    file.values(name + ".weight", sizes,
                ramp(std::accumulate(sizes.begin(), sizes.end(), std::size_t(1), std::multiplies<>())));
    return *this;
  }
  SmallModel& layers(std::vector<std::pair<std::string, Sizes>> const& tensors) {
    for (int layer = 0; layer < 3; ++layer)
      for (auto const& [name, sizes] : tensors) values("blk." + std::to_string(layer) + "." + name, sizes);
    return *this;
  }
  SmallModel& attention() {
    return layers({{"attn_norm", {32}},
                   {"ffn_norm", {32}},
                   {"attn_q", {32, 32}},
                   {"attn_k", {32, 16}},
                   {"attn_v", {32, 16}},
                   {"attn_output", {32, 32}}});
  }
  SmallModel& dense() { return layers({{"ffn_gate", {32, 48}}, {"ffn_up", {32, 48}}, {"ffn_down", {48, 32}}}); }
  GgufFile open() const { return GgufFile(FileBytes::from_memory("small.gguf", file.build())); }
};

Blueprint blueprint(SmallModel const& model) { return blueprint_from_gguf(model.open()); }

Weights weights(SmallModel const& model) {
  ThreadTeam team({.threads = 1});
  GgufFile const file = model.open();
  return load_weights(blueprint_from_gguf(file), file.tensors(), Precision::fast, team);
}

std::string problem(SmallModel const& model) {
  try {
    weights(model);
  } catch (InputError const& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_NAMES(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

TEST(GgufModel, LlamaRowsAreReorderedToHalvesAndTheHeadIsTied) {
  SmallModel const model = SmallModel("llama").attention().dense();

  ModelSpec const spec = blueprint(model).spec;
  Weights const loaded = weights(model);

  EXPECT_EQ(spec.name, "small");
  EXPECT_EQ(spec.head_dim, 16);
  EXPECT_EQ(spec.vocab, 8);
  EXPECT_TRUE(spec.tied_embeddings);
  PackedMatrix const& qkv = loaded.layers[1].qkv;
  EXPECT_EQ(weight_at(qkv, 0, 0), 0);
  EXPECT_EQ(weight_at(qkv, 1, 0), 2 * 32);          // row 2 of the file
  EXPECT_EQ(weight_at(qkv, 8, 0), 1 * 32);          // row 1
  EXPECT_EQ(weight_at(qkv, 17, 0), (16 + 2) * 32);  // second head
  EXPECT_EQ(weight_at(qkv, 32 + 9, 0), 3 * 32);     // k
  EXPECT_EQ(weight_at(qkv, 48 + 9, 0), 9 * 32);     // v stays
  EXPECT_EQ(loaded.head.bytes.data(), loaded.embedding.bytes.data());
  EXPECT_EQ(weight_at(loaded.layers[0].dense.gate_up, 48 + 1, 3), 32 + 3);
}

TEST(GgufModel, RopeFactorsOfTheFileDivideTheFrequencies) {
  SmallModel model = SmallModel("llama").f32("rope.freq_base", 1e4f).u32("rope.dimension_count", 16);
  model.file.values("rope_freqs.weight", {8}, {1, 1, 1, 2, 4, 8, 8, 8});

  RopeSpec const rope = blueprint(model).spec.ropes[0];

  EXPECT_EQ(rope.inverse_frequency[0], 1);
  EXPECT_NEAR(rope.inverse_frequency[4], std::pow(1e4, -0.5) / 4, 1e-9);
}

TEST(GgufModel, QwenBiasesAndHeadNormsAreTakenAsTheyAre) {
  SmallModel two = SmallModel("qwen2").attention().dense();
  for (int layer = 0; layer < 3; ++layer)
    for (auto const& [name, size] : {std::pair{"attn_q", 32}, {"attn_k", 16}, {"attn_v", 16}})
      two.file.values("blk." + std::to_string(layer) + "." + name + ".bias", {std::uint64_t(size)},
                      ramp(std::size_t(size), 0.5f));
  SmallModel const three =
      SmallModel("qwen3").attention().dense().layers({{"attn_q_norm", {16}}, {"attn_k_norm", {16}}});

  LayerWeights const biased = weights(two).layers[2], normed = weights(three).layers[2];

  EXPECT_EQ(biased.qkv_bias[1], 0.5f);
  EXPECT_EQ(biased.qkv_bias[32 + 15], 7.5f);
  EXPECT_EQ(weight_at(biased.qkv, 1, 0), 32);
  EXPECT_EQ(std::vector<float>(normed.q_norm), ramp(16));
  EXPECT_TRUE(normed.qkv_bias.empty());
}

TEST(GgufModel, BiasesOfLlamaAreReorderedWithTheirRows) {
  SmallModel model = SmallModel("llama").attention().dense();
  for (int layer = 0; layer < 3; ++layer)
    for (auto const& [name, size] : {std::pair{"attn_q", 32}, {"attn_k", 16}, {"attn_v", 16}})
      model.file.values("blk." + std::to_string(layer) + "." + name + ".bias", {std::uint64_t(size)},
                        ramp(std::size_t(size)));

  std::vector<float> const bias = weights(model).layers[0].qkv_bias;

  EXPECT_EQ(bias[1], 2);
  EXPECT_EQ(bias[8], 1);
  EXPECT_EQ(bias[48 + 3], 3);
}

TEST(GgufModel, ExpertsComeFromStackedTensorsOrOnesOfTheirOwn) {
  for (char const* const architecture : {"llama", "qwen3moe"}) {
    SmallModel model(architecture);
    model.u32("expert_count", 4).u32("expert_used_count", 2).u32("expert_feed_forward_length", 20).attention();
    if (std::string_view(architecture) == "qwen3moe") model.layers({{"attn_q_norm", {16}}, {"attn_k_norm", {16}}});
    model.layers({{"ffn_gate_inp", {32, 4}},
                  {"ffn_gate_exps", {32, 20, 4}},
                  {"ffn_up_exps", {32, 20, 4}},
                  {"ffn_down_exps", {20, 32, 4}}});

    ModelSpec const spec = blueprint(model).spec;
    LayerWeights const layer = weights(model).layers[1];

    EXPECT_EQ(spec.experts_per_token, 2);
    EXPECT_EQ(spec.ffn, 0);
    ASSERT_EQ(layer.experts.size(), 4u);
    EXPECT_EQ(weight_at(layer.experts[3].gate_up, 2, 1), (3 * 20 + 2) * 32 + 1);
    EXPECT_EQ(weight_at(layer.experts[3].gate_up, 32 + 2, 1), (3 * 20 + 2) * 32 + 1);  // up starts a panel
    EXPECT_EQ(weight_at(layer.experts[2].down, 5, 7), (2 * 32 + 5) * 20 + 7);
    EXPECT_EQ(layer.router.format, WeightFormat::f32);
  }
}

TEST(GgufModel, GemmaNormsAreStoredReadyAndWindowsFollowThePattern) {
  SmallModel two = SmallModel("gemma2").u32("attention.key_length", 16).u32("attention.value_length", 16);
  two.u32("attention.sliding_window", 64).f32("attn_logit_softcapping", 50).f32("final_logit_softcapping", 30);
  two.attention().dense().layers({{"post_attention_norm", {32}}, {"post_ffw_norm", {32}}});

  ModelSpec const spec = blueprint(two).spec;
  Weights const loaded = weights(two);

  EXPECT_EQ(spec.layers[0].window, 64);
  EXPECT_EQ(spec.layers[1].window, 0);
  EXPECT_EQ(spec.layers[2].window, 64);
  EXPECT_EQ(spec.attention_soft_cap, 50);
  EXPECT_EQ(spec.logit_soft_cap, 30);
  EXPECT_EQ(spec.embedding_scale, std::sqrt(32.0f));
  EXPECT_EQ(spec.gate, GateFunction::gelu_tanh);
  EXPECT_EQ(std::vector<float>(loaded.layers[0].post_ffn_norm), ramp(32));
}

TEST(GgufModel, Gemma3HasALocalRope) {
  SmallModel model("gemma3");
  model.u32("attention.sliding_window", 64).f32("rope.freq_base", 1e6f).text("rope.scaling.type", "linear");
  model.f32("rope.scaling.factor", 8);

  ModelSpec const spec = blueprint(model).spec;

  EXPECT_EQ(spec.layers[0].rope, 1);
  EXPECT_EQ(spec.ropes[0].inverse_frequency[0], 0.125);
  EXPECT_NEAR(spec.ropes[1].inverse_frequency[1], std::pow(1e4, -1 / 8.0), 1e-7);
}

TEST(GgufModel, PhiIsFusedAndItsLongFactorsComeFromTensors) {
  SmallModel model("phi3");
  model.u32("rope.dimension_count", 8)
      .u32("rope.scaling.original_context_length", 64)
      .f32("rope.scaling.attn_factor", 1.25f);
  model.layers({{"attn_norm", {32}},
                {"ffn_norm", {32}},
                {"attn_qkv", {32, 64}},
                {"attn_output", {32, 32}},
                {"ffn_up", {32, 96}},
                {"ffn_down", {48, 32}}});
  model.file.values("rope_factors_short.weight", {4}, {1, 1, 1, 1})
      .values("rope_factors_long.weight", {4}, {2, 2, 4, 4});

  RopeSpec const rope = blueprint(model).spec.ropes[0];
  LayerWeights const layer = weights(model).layers[0];

  EXPECT_EQ(rope.rotary_dim, 8);
  EXPECT_EQ(rope.long_from, 64);
  EXPECT_EQ(rope.attention_factor, 1.25);
  EXPECT_NEAR(rope.long_inverse_frequency[2], 0.01 / 4, 1e-9);
  EXPECT_EQ(weight_at(layer.qkv, 63, 1), 63 * 32 + 1);
  EXPECT_EQ(weight_at(layer.dense.gate_up, 48, 0), 48 * 32);
}

TEST(GgufModel, YarnStretchesTheContextAndItsFactorMultipliesTheMagnitude) {
  SmallModel model("qwen2");
  model.text("rope.scaling.type", "yarn")
      .f32("rope.scaling.factor", 4)
      .u32("rope.scaling.original_context_length", 128);

  Blueprint const out = blueprint(model);

  EXPECT_EQ(out.longest_positions, 512);
  EXPECT_NEAR(out.spec.ropes[0].attention_factor, 1 + 0.1 * std::log(4), 1e-12);
}

TEST(GgufModel, WhatIsMissingWrongOrUnknownIsNamed) {
  EXPECT_NAMES(problem(SmallModel("mamba")), "small.gguf: key general.architecture is \"mamba\"");
  EXPECT_NAMES(problem(SmallModel("llama")), "small.gguf: tensor blk.0.attn_norm.weight is missing");
  EXPECT_NAMES(problem(SmallModel("llama").attention()), "tensor blk.0.ffn_down.weight is missing");
  EXPECT_NAMES(problem(SmallModel("llama").attention().dense().values("blk.1.extra", {4})),
               "tensor blk.1.extra.weight is not part of the architecture");
  EXPECT_NAMES(problem(SmallModel("qwen3").attention().dense()), "attn_q_norm.weight is missing");
  EXPECT_NAMES(problem(SmallModel("llama").text("rope.scaling.type", "magic")),
               "key llama.rope.scaling.type is \"magic\"");
  EXPECT_NAMES(problem(SmallModel("llama").u32("attention.value_length", 8)), "llama.attention.value_length");
  EXPECT_NAMES(problem(SmallModel("llama").u32("expert_count", 2)), "llama.expert_used_count is missing");
  EXPECT_NAMES(problem(SmallModel("llama").f32("attention.key_length", 8)),
               "llama.attention.key_length is not an integer");
  SmallModel narrow = SmallModel("llama").values("output", {16, 8}).attention().dense();
  EXPECT_NAMES(problem(narrow), "tensor output.weight has the shape [8, 16], but the configuration asks for [8, 32]");
}

}  // namespace
}  // namespace windlass
