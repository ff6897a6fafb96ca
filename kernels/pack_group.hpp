/// One group of 32 weights of one row: decoding from a file's block, and storing in a packed form.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/file_types.hpp"
#include "kernels/pack.hpp"

namespace windlass {

/// value of weight k = scale[k / 16] * (code[k] - zero) + min[k / 16].
struct QuantizedGroup {
  std::array<std::uint8_t, group_size> code;
  std::array<float, 2> scale;
  std::array<float, 2> min;
  int zero;  ///< 128 or 8; 0 where the type has minimums
};

/// Group `group` of a row of a quantised `type`.
QuantizedGroup decode_group(FileType type, std::byte const* row, std::int64_t group);

/// Row `r` of the group at `to`; `form` is quantised and holds the group (common_form).
void store_group(PackedForm const& form, std::byte* to, int r, QuantizedGroup const& values);

}  // namespace windlass
