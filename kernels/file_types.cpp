#include "kernels/file_types.hpp"

#include "src/core/error.hpp"

namespace windlass {
namespace {

struct TypeFacts {
  char const* name;
  int weights;
  std::size_t bytes;
};

TypeFacts facts(FileType type) {
  switch (type) {
    case FileType::f32:
      return {"F32", 1, 4};
    case FileType::f16:
      return {"F16", 1, 2};
    case FileType::bf16:
      return {"BF16", 1, 2};
    case FileType::f8_e4m3:
      return {"F8_E4M3", 1, 1};
    case FileType::q8_0:
      return {"Q8_0", 32, 34};
    case FileType::q4_0:
      return {"Q4_0", 32, 18};
    case FileType::q4_1:
      return {"Q4_1", 32, 20};
    case FileType::q5_0:
      return {"Q5_0", 32, 22};
    case FileType::q5_1:
      return {"Q5_1", 32, 24};
    case FileType::q4_k:
      return {"Q4_K", 256, 144};
    case FileType::q5_k:
      return {"Q5_K", 256, 176};
    case FileType::q6_k:
      return {"Q6_K", 256, 210};
    case FileType::iq4_nl:
      return {"IQ4_NL", 32, 18};
  }
  ensure(false, "unknown file type");
  return {};
}

}  // namespace

char const* name(FileType type) { return facts(type).name; }

int block_weights(FileType type) { return facts(type).weights; }

std::size_t block_bytes(FileType type) { return facts(type).bytes; }

std::size_t row_bytes(FileType type, std::int64_t columns) {
  TypeFacts const f = facts(type);
  return std::size_t(columns / f.weights) * f.bytes;
}

}  // namespace windlass
