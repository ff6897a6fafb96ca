#include "src/model/architecture/rope_scaling.hpp"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <cmath>

#include "src/model/architecture/hugging_face.hpp"
#include "src/model/file_bytes.hpp"

namespace windlass {
namespace {

void expect_frequencies(std::vector<double> const& actual, std::vector<double> const& golden, std::string const& what) {
  ASSERT_EQ(actual.size(), golden.size()) << what;
  for (std::size_t i = 0; i < golden.size(); ++i)
    EXPECT_NEAR(actual[i] / golden[i], 1, 3e-7) << what << " pair " << i;  // float32 steps, the last bits may differ
}

TEST(RopeScaling, AgreesWithTransformersOnEveryGoldenCase) {
  std::string const path = WINDLASS_SOURCE_DIR "/inputs/rope/rope.json";
  boost::json::value const cases = parse_json(read_text_file(path, 1 << 20), path);
  ASSERT_EQ(cases.as_array().size(), 21u);
  for (boost::json::value const& element : cases.as_array()) {
    JsonReader const golden(element.as_object(), path);
    RopeParameters const defaults{.head_dim = golden.size("head_dim"),
                                  .max_positions = golden.size("max_position_embeddings")};

    JsonReader const parameters = golden.child("rope_parameters").value();
    RopeSpec const rope = make_rope(rope_from_config(parameters, defaults), path);

    std::string const what = parameters.text("rope_type").value() + " " + std::to_string(defaults.head_dim);
    expect_frequencies(rope.inverse_frequency, golden.numbers("inverse_frequency"), what);
    expect_frequencies(rope.long_inverse_frequency, golden.numbers("long_inverse_frequency"), what + " long");
    EXPECT_NEAR(rope.attention_factor, golden.number("attention_factor").value(), 1e-12) << what;
  }
}

TEST(RopeScaling, TheContextGrowsOnlyWithLinearAndYarn) {
  RopeParameters p{.factor = 4, .head_dim = 64, .max_positions = 4096, .original_max_positions = 2048};
  EXPECT_EQ(longest_positions(p), 4096);
  p.scaling = RopeScaling::llama3;
  EXPECT_EQ(longest_positions(p), 4096);
  p.scaling = RopeScaling::linear;
  EXPECT_EQ(longest_positions(p), 16384);
  p.scaling = RopeScaling::yarn;
  EXPECT_EQ(longest_positions(p), 8192);
}

}  // namespace
}  // namespace windlass
