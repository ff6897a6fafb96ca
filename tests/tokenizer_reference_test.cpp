/// Every text of inputs/reference, against what transformers made of it.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "src/model/gguf.hpp"
#include "src/model/tokenizer.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

std::string const reference = WINDLASS_SOURCE_DIR "/inputs/reference/";

json::value read_json(std::string const& path) {
  std::ifstream file(path);
  return json::parse(std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()));
}

std::vector<TokenId> ids_of(json::value const& array) {
  std::vector<TokenId> ids;
  for (json::value const& id : array.as_array()) ids.push_back(TokenId(id.to_number<std::uint32_t>()));
  return ids;
}

/// From the folder's GGUF file if it has one.
std::unique_ptr<Tokenizer> read_tokenizer(std::string const& folder) {
  std::string const gguf = folder + "/model.gguf";
  if (!std::filesystem::exists(gguf)) return tokenizer_from_folder(folder);
  return tokenizer_from_gguf(GgufFile(gguf, LoadMode::automatic).metadata());
}

class TokenizerReference : public testing::TestWithParam<char const*> {
 protected:
  std::string const folder = reference + GetParam();
  std::unique_ptr<Tokenizer> const tokenizer = read_tokenizer(folder);
  json::value const golden = read_json(folder + "/golden.json");
  json::array const& cases = golden.at("tokenizer").as_array();
};

TEST_P(TokenizerReference, EncodesEveryText) {
  ASSERT_GE(cases.size(), 75u);

  for (json::value const& item : cases) {
    std::string_view const text = item.at("text").as_string();
    EXPECT_EQ(tokenizer->encode(text, AddSpecial::yes), ids_of(item.at("ids"))) << text;
    EXPECT_EQ(tokenizer->encode(text, AddSpecial::no), ids_of(item.at("ids_no_special"))) << text;
  }
}

TEST_P(TokenizerReference, DecodesEveryText) {
  for (json::value const& item : cases) {
    std::vector<TokenId> const ids = ids_of(item.at("ids"));
    EXPECT_EQ(decode(*tokenizer, ids, SpecialText::keep), item.at("decoded").as_string());
    EXPECT_EQ(decode(*tokenizer, ids, SpecialText::skip), item.at("decoded_skip_special").as_string());
  }
}

TEST_P(TokenizerReference, StreamsOnlyWholeCharacters) {
  for (json::value const& item : cases) {
    Detokenizer detokenizer(*tokenizer, SpecialText::keep);
    std::string streamed;
    for (TokenId const id : ids_of(item.at("ids"))) {
      std::string const part = detokenizer.add(id);
      json::error_code error;
      json::parse(json::serialize(json::value(part)), error);  // Boost.JSON refuses what is not UTF-8
      EXPECT_FALSE(error) << "half a character in " << item.at("text");
      streamed += part;
    }
    streamed += detokenizer.finish();
    EXPECT_EQ(streamed, item.at("decoded").as_string());
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, TokenizerReference,
                         testing::Values("llama-gqa", "llama3-rope-tied-bf16", "qwen2-sharded", "qwen3-v5config",
                                         "mistral-window128", "mixtral-4x2", "qwen3moe-6x2", "gemma2-softcaps",
                                         "llama-kquants"),
                         [](auto const& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             if (c == '-') c = '_';
                           return name;
                         });

}  // namespace
}  // namespace windlass
