/// Sizes for people.
#pragma once

#include <array>
#include <cstdint>
#include <iomanip>
#include <string>

#include "src/core/text.hpp"

namespace windlass {

/// "512 B", "1.5 GiB".
inline std::string bytes_text(std::uint64_t bytes) {
  static constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = double(bytes);
  std::size_t unit = 0;
  for (; value >= 1024; ++unit) value /= 1024;
  return text(std::fixed, std::setprecision(unit == 0 ? 0 : 1), value, ' ', units[unit]);
}

}  // namespace windlass
