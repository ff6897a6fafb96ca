/// SmolLM2's own tokenizer, from its GGUF file, on the texts of inputs/reference/smollm2.json.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "src/model/gguf.hpp"
#include "src/model/tokenizer.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

json::value read_json(std::string const& path) {
  std::ifstream file(path);
  return json::parse(std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()));
}

std::vector<TokenId> ids_of(json::value const& array) {
  std::vector<TokenId> ids;
  for (json::value const& id : array.as_array()) ids.push_back(TokenId(id.to_number<std::uint32_t>()));
  return ids;
}

class TokenizerDemo : public testing::Test {
 protected:
  void SetUp() override {
    char const* const model = std::getenv("WINDLASS_DEMO_MODEL");
    ASSERT_NE(model, nullptr) << "set WINDLASS_DEMO_MODEL to SmolLM2's GGUF file, as tests/run.sh does";
    file = std::make_unique<GgufFile>(model, LoadMode::automatic);
    tokenizer = tokenizer_from_gguf(file->metadata());
  }

  json::value const golden = read_json(WINDLASS_SOURCE_DIR "/inputs/reference/smollm2.json");
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
};

TEST_F(TokenizerDemo, EncodesEveryText) {
  json::array const& cases = golden.at("tokenizer").as_array();
  ASSERT_EQ(cases.size(), 75u);

  for (json::value const& item : cases)
    EXPECT_EQ(tokenizer->encode(std::string_view(item.at("text").as_string()), AddSpecial::yes), ids_of(item.at("ids")))
        << item.at("text");
}

TEST_F(TokenizerDemo, DecodesEveryText) {
  for (json::value const& item : golden.at("tokenizer").as_array())
    EXPECT_EQ(decode(*tokenizer, ids_of(item.at("ids")), SpecialText::keep), item.at("decoded").as_string());
}

TEST_F(TokenizerDemo, EncodesRenderedConversations) {
  for (json::value const& chat : golden.at("chats").as_array())
    EXPECT_EQ(tokenizer->encode(std::string_view(chat.at("text").as_string()), AddSpecial::yes),
              ids_of(chat.at("ids")));
}

TEST_F(TokenizerDemo, KnowsItsEnds) {
  EXPECT_EQ(tokenizer->vocab(), 49152);
  EXPECT_EQ(tokenizer->bos_text(), "<|im_start|>");
  EXPECT_EQ(tokenizer->eos_text(), "<|im_end|>");
  EXPECT_EQ(tokenizer->end_tokens().front(), TokenId{2});
  EXPECT_TRUE(tokenizer->is_special(TokenId{2}));
  EXPECT_FALSE(tokenizer->is_special(TokenId{253}));
  EXPECT_FALSE(tokenizer->drops_first_space());
}

}  // namespace
}  // namespace windlass
