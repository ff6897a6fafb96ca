#include "src/model/describe.hpp"

#include <gtest/gtest.h>

#include "src/core/error.hpp"

namespace windlass {
namespace {

ModelConfig reference(std::string const& name) { return {.path = WINDLASS_SOURCE_DIR "/inputs/reference/" + name}; }

/// Two layers that keep everything and two with a window of 100.
ModelSpec half_windowed() {
  ModelSpec spec{.heads = 4, .kv_heads = 2, .head_dim = 16};
  spec.layers = {{.window = 0}, {.window = 100}, {.window = 0}, {.window = 100}};
  return spec;
}

TEST(Describe, SumsTensorsByTypeAndPackedBytes) {
  ModelDescription const d = describe(reference("llama3-rope-tied-bf16"));

  ASSERT_EQ(d.types.size(), 1u);
  EXPECT_EQ(d.types[0].type, "BF16");
  EXPECT_EQ(d.types[0].bytes, d.types[0].weights * 2);
  EXPECT_GT(d.weight_bytes, 400'000u);
  EXPECT_LT(d.weight_bytes, 420'000u);
  EXPECT_EQ(d.file_bytes, 414'712u);
}

TEST(Describe, KvOfOneTokenCountsEveryLayerAndWindowsEnd) {
  ModelSpec const spec = half_windowed();

  EXPECT_EQ(kv_bytes(spec, 2, 1), 4u * 2 * 2 * 16 * 2);
  EXPECT_EQ(kv_bytes(spec, 4, 10), 10u * 4 * 2 * 2 * 16 * 4);
  EXPECT_EQ(kv_bytes(spec, 2, 1001) - kv_bytes(spec, 2, 1000), 2u * 2 * 2 * 16 * 2);
}

TEST(Describe, TokensThatFitAreTheLargestNumberWhoseKvFits) {
  ModelSpec const spec = half_windowed();
  for (std::uint64_t const memory : {0u, 1u, 511u, 512u, 100'000u, 1'000'000u}) {
    std::uint64_t const tokens = tokens_that_fit(spec, 2, memory).value();

    EXPECT_LE(kv_bytes(spec, 2, tokens), memory);
    EXPECT_GT(kv_bytes(spec, 2, tokens + 1), memory);
  }
}

TEST(Describe, AnyNumberOfTokensFitsWhereEveryLayerHasAWindow) {
  ModelSpec spec = half_windowed();
  spec.layers = {{.window = 100}};

  EXPECT_EQ(tokens_that_fit(spec, 2, 1 << 20), std::nullopt);
  EXPECT_EQ(tokens_that_fit(spec, 2, 128 * 10), 10u);
}

TEST(Describe, TheTextNamesWhatAReaderLooksFor) {
  std::string const text = to_text(describe(reference("mixtral-4x2")), {.bytes_per_value = 2, .memory_bytes = 1 << 22});

  for (char const* const part :
       {"mixtral-4x2", "architecture       mixtral", "experts            4 of width 96, 2 per token", "F32",
        "context            1024 tokens", "KV per token       384 bytes (2 per value)", "tokens beside the weights"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(Describe, AFolderThatIsNoModelIsAnError) {
  EXPECT_THROW(describe({.path = WINDLASS_SOURCE_DIR "/tests"}), InputError);
  EXPECT_THROW(describe({.path = "/nonexistent.gguf"}), std::runtime_error);
}

}  // namespace
}  // namespace windlass
