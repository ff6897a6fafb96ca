#include "kernels/reference/dequantize.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace windlass {
namespace {

std::vector<char> content(std::string const& name) {
  std::ifstream file(WINDLASS_SOURCE_DIR "/inputs/quantized/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Dequantize, EveryGgufTypeGivesTheBitsOfTheGoldenFile) {
  for (FileType const type :
       {FileType::f16, FileType::bf16, FileType::q8_0, FileType::q4_0, FileType::q4_1, FileType::q5_0, FileType::q5_1,
        FileType::q4_k, FileType::q5_k, FileType::q6_k, FileType::iq4_nl}) {
    std::vector<char> const bytes = content(std::string(name(type)) + ".bin");
    std::vector<char> const golden = content(std::string(name(type)) + ".f32");
    ASSERT_EQ(golden.size(), 4u * 512 * 4) << name(type);
    std::vector<float> values(golden.size() / 4);

    reference::dequantize(type, std::as_bytes(std::span(bytes)), values);

    for (std::size_t i = 0; i < values.size(); ++i) {
      float expected;
      std::memcpy(&expected, golden.data() + i * 4, 4);
      ASSERT_EQ(values[i], expected) << name(type) << " weight " << i;
    }
  }
}

TEST(Dequantize, Fp8CoversItsWholeRange) {
  EXPECT_EQ(f8_e4m3_to_float(0x00), 0.0f);
  EXPECT_EQ(f8_e4m3_to_float(0x01), 0x1p-9f);
  EXPECT_EQ(f8_e4m3_to_float(0x07), 7 * 0x1p-9f);
  EXPECT_EQ(f8_e4m3_to_float(0x08), 0x1p-6f);
  EXPECT_EQ(f8_e4m3_to_float(0x38), 1.0f);
  EXPECT_EQ(f8_e4m3_to_float(0xb9), -1.125f);
  EXPECT_EQ(f8_e4m3_to_float(0x7e), 448.0f);
  EXPECT_TRUE(std::isnan(f8_e4m3_to_float(0x7f)));
  EXPECT_TRUE(std::isnan(f8_e4m3_to_float(0xff)));
}

}  // namespace
}  // namespace windlass
