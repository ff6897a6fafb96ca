/// The ways in which model files store weights.
#pragma once

#include <cstddef>
#include <cstdint>

namespace windlass {

/// Little endian. Quantised types cut a row into blocks of `block_weights`; a block's bytes are listed in
/// kernels/reference/dequantize.hpp.
enum class FileType : std::uint8_t { f32, f16, bf16, f8_e4m3, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, iq4_nl };

char const* name(FileType type);  ///< as model files write it: "Q4_K"
int block_weights(FileType type);
std::size_t block_bytes(FileType type);

/// Bytes of `columns` weights; `columns` is a multiple of block_weights(type).
std::size_t row_bytes(FileType type, std::int64_t columns);

}  // namespace windlass
