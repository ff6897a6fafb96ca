#include "src/model/gguf.hpp"

#include <gtest/gtest.h>

#include "src/core/error.hpp"
#include "tests/model_file_builder.hpp"

namespace windlass {
namespace {

GgufFile open(std::vector<std::byte> bytes) { return GgufFile(FileBytes::from_memory("small.gguf", std::move(bytes))); }

/// The message of the InputError that opening gives.
std::string problem(std::vector<std::byte> bytes) {
  try {
    open(std::move(bytes));
  } catch (InputError const& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_NAMES(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

GgufBuilder small_file() {
  GgufBuilder file;
  file.text("general.architecture", "llama").u32("llama.block_count", 2).f32("llama.eps", 0.5f);
  file.key("flag", gguf_bool).raw(std::uint8_t(1));
  file.key("words", gguf_array).raw(std::uint32_t(gguf_text)).raw(std::uint64_t(1)).raw(std::uint64_t(1)).raw('a');
  file.key("scores", gguf_array).raw(std::uint32_t(gguf_f32)).raw(std::uint64_t(2)).raw(1.5f).raw(-2.0f);
  file.tensor({"one", {64, 3}, ggml_q4_0, 108}).tensor({"two", {5}, ggml_f32, 20}, 0);
  return file;
}

TEST(Gguf, KeysAndTensorsOfBothVersionsAreRead) {
  for (std::uint32_t const version : {2u, 3u}) {
    GgufBuilder builder = small_file();
    builder.version = version;

    GgufFile const file = open(builder.build());

    EXPECT_EQ(std::get<std::string>(*file.metadata().find("general.architecture")), "llama");
    EXPECT_EQ(std::get<std::uint64_t>(*file.metadata().find("llama.block_count")), 2u);
    EXPECT_EQ(std::get<double>(*file.metadata().find("llama.eps")), 0.5);
    EXPECT_EQ(std::get<bool>(*file.metadata().find("flag")), true);
    EXPECT_EQ(std::get<std::vector<std::string>>(*file.metadata().find("words")), std::vector<std::string>{"a"});
    EXPECT_EQ(std::get<std::vector<double>>(*file.metadata().find("scores")), (std::vector<double>{1.5, -2}));
    Tensor const& one = *file.tensors().find("one");
    EXPECT_EQ(one.shape, (std::vector<std::int64_t>{3, 64}));
    EXPECT_EQ(one.type, FileType::q4_0);
    EXPECT_EQ(one.bytes, 108u);
    std::byte last{};
    one.file->read(one.offset + 107, std::span(&last, 1));
    EXPECT_EQ(last, std::byte(0x11));
  }
}

TEST(Gguf, AFileCutAnywhereIsAnErrorThatNamesIt) {
  std::vector<std::byte> const whole = small_file().build();
  EXPECT_EQ(problem(whole), "no error");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NAMES(problem({whole.begin(), whole.begin() + std::ptrdiff_t(size)}), "small.gguf: ") << size;
}

TEST(Gguf, WhatIsNoGgufFileIsNotRead) {
  EXPECT_NAMES(problem(std::vector<std::byte>(100)), "not a GGUF file");
  GgufBuilder future = small_file();
  future.version = 4;
  EXPECT_NAMES(problem(future.build()), "version 4");
  GgufBuilder big_endian = small_file();
  big_endian.version = 3u << 24;
  EXPECT_NAMES(problem(big_endian.build()), "versions 2 and 3");
}

TEST(Gguf, AnUnknownTensorTypeNamesTensorAndType) {
  GgufBuilder file;
  file.tensor({"blk.0.attn_q.weight", {256, 1}, ggml_q2_k, 84});
  std::string const message = problem(file.build());
  EXPECT_NAMES(message, "tensor blk.0.attn_q.weight");
  EXPECT_NAMES(message, "type number 10");
}

TEST(Gguf, TensorsThatCannotBeAreRefusedByName) {
  struct Case {
    GgufTensor tensor;
    std::uint64_t offset;
    char const* says;
  };
  std::uint64_t const huge = std::uint64_t(1) << 40;
  Case const cases[] = {
      {{"t", {8}, ggml_f32, 0}, huge, "cut"},
      {{"t", {8}, ggml_f32, 0}, ~std::uint64_t(31), "cut"},
      {{"t", {8}, ggml_f32, 0}, 5, "alignment"},
      {{"t", {huge, huge}, ggml_f32, 0}, 0, "impossible shape"},
      {{"t", {std::uint64_t(1) << 63, 2}, ggml_f32, 0}, 0, "impossible shape"},
      {{"t", {~std::uint64_t(0)}, ggml_f32, 0}, 0, "impossible shape"},
      {{"t", {33}, ggml_q8_0, 0}, 0, "block of 32"},
      {{"t", {128}, ggml_q4_k, 0}, 0, "block of 256"},
      {{"t", {}, ggml_f32, 0}, 0, "0 dimensions"},
      {{"t", {1, 1, 1, 1, 1}, ggml_f32, 0}, 0, "5 dimensions"},
  };
  for (Case const& c : cases) {
    GgufBuilder file;
    file.add_tensor(c.tensor, c.offset);
    std::string const message = problem(file.build());
    EXPECT_NAMES(message, "small.gguf: tensor t");
    EXPECT_NAMES(message, c.says);
  }
}

TEST(Gguf, NamesThatAppearTwiceAreRefused) {
  GgufBuilder keys;
  keys.u32("a.b", 1).u32("a.b", 2);
  EXPECT_NAMES(problem(keys.build()), "key a.b is there twice");
  GgufBuilder tensors;
  tensors.tensor({"t", {4}, ggml_f32, 16}).tensor({"t", {4}, ggml_f32, 16});
  EXPECT_NAMES(problem(tensors.build()), "tensor t is there twice");
}

TEST(Gguf, LengthsBeyondTheFileAreRefusedBeforeAnythingIsAllocated) {
  std::uint64_t const huge = std::uint64_t(1) << 60;
  GgufBuilder text;
  text.key("long", gguf_text).raw(huge);
  EXPECT_NAMES(problem(text.build()), "key long has a text of");
  for (std::uint32_t const type : {gguf_u8, gguf_u32, gguf_f32, gguf_bool, gguf_text}) {
    GgufBuilder array;
    array.key("many", gguf_array).raw(type).raw(huge);
    EXPECT_NAMES(problem(array.build()), "key many is an array of");
  }
  ByteWriter counts;
  counts.put_bytes("GGUF").put(std::uint32_t(3)).put(huge).put(huge);
  EXPECT_NAMES(problem(counts.bytes), "announces");
}

TEST(Gguf, ValuesOfUnknownTypesAreRefusedByKey) {
  GgufBuilder nested;
  nested.key("deep", gguf_array).raw(std::uint32_t(gguf_array)).raw(std::uint64_t(1));
  EXPECT_NAMES(problem(nested.build()), "key deep is an array of arrays");
  GgufBuilder unknown;
  unknown.key("odd", 77).raw(std::uint64_t(0));
  EXPECT_NAMES(problem(unknown.build()), "key odd has the value type 77");
}

TEST(Gguf, TheAlignmentMustBeAPowerOfTwo) {
  GgufBuilder file;
  file.u32("general.alignment", 48).tensor({"t", {4}, ggml_f32, 16});
  EXPECT_NAMES(problem(file.build()), "general.alignment");
}

}  // namespace
}  // namespace windlass
