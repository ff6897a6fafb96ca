#include "src/model/safetensors.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "src/core/error.hpp"
#include "tests/model_file_builder.hpp"

namespace windlass {
namespace {

TensorTable open(std::vector<std::byte> bytes) {
  TensorTable tensors;
  add_safetensors(tensors, FileBytes::from_memory("small.safetensors", std::move(bytes)));
  return tensors;
}

std::string problem(std::vector<std::byte> bytes) {
  try {
    open(std::move(bytes));
  } catch (InputError const& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_NAMES(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

char const* const two_tensors =
    R"({"__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [16, 28]},
        "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})";

TEST(Safetensors, TensorsAreFoundByName) {
  TensorTable const tensors = open(safetensors_bytes(two_tensors, 28));

  Tensor const& b = *tensors.find("b");
  EXPECT_EQ(b.type, FileType::bf16);
  EXPECT_EQ(b.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(b.bytes, 12u);
  EXPECT_EQ(b.offset - tensors.find("a")->offset, 16u);
  EXPECT_EQ(tensors.find("__metadata__"), nullptr);
}

TEST(Safetensors, AFileCutAnywhereIsAnErrorThatNamesIt) {
  std::vector<std::byte> const whole = safetensors_bytes(two_tensors, 28);
  EXPECT_EQ(problem(whole), "no error");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_NAMES(problem({whole.begin(), whole.begin() + std::ptrdiff_t(size)}), "small.safetensors: ") << size;
}

TEST(Safetensors, TensorsThatCannotBeAreRefusedByName) {
  struct Case {
    char const* entry;
    char const* says;
  };
  Case const cases[] = {
      {R"({"dtype": "F32", "shape": [4], "data_offsets": [0, 99]})", "has only 16"},
      {R"({"dtype": "F32", "shape": [4], "data_offsets": [-1, 15]})", "ascending offsets"},
      {R"({"dtype": "F32", "shape": [4], "data_offsets": [16, 0]})", "ascending offsets"},
      {R"({"dtype": "F32", "shape": [4], "data_offsets": [16]})", "ascending offsets"},
      {R"({"dtype": "F32", "shape": [4], "data_offsets": 3})", "ascending offsets"},
      {R"({"dtype": "F32", "shape": [5], "data_offsets": [0, 16]})", "takes 20"},
      {R"({"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 16]})", "impossible shape"},
      {R"({"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]})", "impossible shape"},
      {R"({"dtype": "F32", "shape": [1.5], "data_offsets": [0, 16]})", "not an integer"},
      {R"({"dtype": "F32", "shape": "4", "data_offsets": [0, 16]})", "shape is not a list"},
      {R"({"dtype": "F32", "data_offsets": [0, 16]})", "shape is missing"},
      {R"({"dtype": 7, "shape": [4], "data_offsets": [0, 16]})", "dtype is not a text"},
      {R"([1])", "not described"},
  };
  for (Case const& c : cases) {
    std::string const message = problem(safetensors_bytes(std::string(R"({"t": )") + c.entry + "}", 16));
    EXPECT_NAMES(message, "small.safetensors: tensor t");
    EXPECT_NAMES(message, c.says);
  }
}

TEST(Safetensors, OverlapsAndGapsAreRefused) {
  auto const pair = [](char const* a, char const* b) {
    return std::string(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": )") + a +
           R"(}, "b": {"dtype": "F32", "shape": [2], "data_offsets": )" + b + "}}";
  };
  EXPECT_NAMES(problem(safetensors_bytes(pair("[0, 8]", "[4, 12]"), 12)), "tensor b starts at byte 4");
  EXPECT_NAMES(problem(safetensors_bytes(pair("[0, 8]", "[12, 20]"), 20)), "tensor b starts at byte 12");
  EXPECT_NAMES(problem(safetensors_bytes(pair("[0, 8]", "[8, 16]"), 24)), "its tensors take 16");
}

TEST(Safetensors, AHeaderThatIsNoJsonObjectIsRefused) {
  EXPECT_NAMES(problem(safetensors_bytes("{\"a\": ", 0)), "small.safetensors: header");
  EXPECT_NAMES(problem(safetensors_bytes("[]", 0)), "not a JSON object");
  EXPECT_NAMES(problem(safetensors_bytes(std::string(5000, '['), 0)), "not JSON");
  ByteWriter huge;
  huge.put(~std::uint64_t(0)).put_bytes("{}");
  EXPECT_NAMES(problem(huge.bytes), "the header should have");
}

TEST(Safetensors, ATypeThatCannotBeReadMattersOnlyWhereItIsNeeded) {
  TensorTable const tensors =
      open(safetensors_bytes(R"({"steps": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}})", 8));

  EXPECT_TRUE(tensors.contains("steps"));
  EXPECT_THROW(tensors.find("steps"), InputError);
}

/// A folder that goes away with the test.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("safetensors_test." + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_.string(); }
  void write(char const* name, std::vector<std::byte> const& bytes) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<char const*>(bytes.data()), std::streamsize(bytes.size()));
  }
  void write_text(char const* name, std::string const& content) const { std::ofstream(path_ / name) << content; }

 private:
  std::filesystem::path path_;
};

std::string folder_problem(Folder const& folder) {
  try {
    open_safetensors(folder.path(), LoadMode::automatic);
  } catch (InputError const& error) {
    return error.what();
  }
  return "no error";
}

TEST(Safetensors, ShardsAreReadTogetherInEitherLoadMode) {
  std::string const folder = WINDLASS_SOURCE_DIR "/inputs/reference/qwen2-sharded";
  for (LoadMode const mode : {LoadMode::map, LoadMode::read}) {
    TensorTable const tensors = open_safetensors(folder, mode);

    EXPECT_EQ(tensors.all().size(), 39u);
    Tensor const& first = *tensors.find("model.embed_tokens.weight");
    EXPECT_EQ(first.file->reads_pieces(), mode == LoadMode::read);
    EXPECT_NE(first.file, tensors.find("lm_head.weight")->file);
    EXPECT_EQ(tensors.file_bytes(), 889936u + 863584u);
  }
}

TEST(Safetensors, AnIndexThatDoesNotFitItsShardsIsRefused) {
  Folder const folder;
  EXPECT_NAMES(folder_problem(folder), "neither model.safetensors nor");
  folder.write("part.safetensors", safetensors_bytes(two_tensors, 28));
  folder.write_text("model.safetensors.index.json",
                    R"({"weight_map": {"a": "part.safetensors", "c": "part.safetensors"}})");
  EXPECT_NAMES(folder_problem(folder), "part.safetensors: tensor c is missing");
  folder.write_text("model.safetensors.index.json", R"({"weight_map": {"a": "../part.safetensors"}})");
  EXPECT_NAMES(folder_problem(folder), "does not name a file of the folder");
  folder.write_text("model.safetensors.index.json", R"({"weights": {}})");
  EXPECT_NAMES(folder_problem(folder), "weight_map is missing");
  folder.write_text("model.safetensors.index.json", R"({"weight_map": {"a": "gone.safetensors"}})");
  EXPECT_THROW(open_safetensors(folder.path(), LoadMode::automatic), FileError);
}

}  // namespace
}  // namespace windlass
