/// Tests that run once per backend of this build and machine, with a few rows' worth of helpers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <string>

#include "kernels/operations.hpp"
#include "tests/kernel_fixtures.hpp"
#if defined(WINDLASS_HAS_CUDA_EMULATED)
#include "kernels/cuda/emulated/backend.hpp"
#endif
#if defined(WINDLASS_HAS_X86)
#include "kernels/x86/levels.hpp"
#endif

namespace windlass::testing_data {

class BackendTest : public ::testing::TestWithParam<Operations const*> {
 protected:
  Operations const& backend() const { return *GetParam(); }
  Queue const& queue() const { return queue_; }

 private:
  ThreadTeam team_{{.threads = 2, .cpus = {}, .spin_us = 0}};
  Queue queue_{&team_};
};

/// All but `reference`, which the others are compared with, the tiled level in emulation, and the CUDA kernels in
/// theirs. There may be none in a
/// small build.
inline std::vector<Operations const*> tested_backends() {
  auto backends = available_operations();
  backends.erase(backends.begin());
#if defined(WINDLASS_HAS_X86)
  if (Operations const* const emulated = x86::emulated_tiles()) backends.push_back(emulated);
#endif
#if defined(WINDLASS_HAS_CUDA_EMULATED)
  backends.push_back(&cuda_emulated::backend());
#endif
  return backends;
}

inline std::string backend_name(::testing::TestParamInfo<Operations const*> const& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// Rows with a margin, to see that nothing is written outside of [rows, columns).
class Output {
 public:
  Output(int rows, int columns)
      : rows_(rows),
        columns_(columns),
        stride_(round_up(columns, panel_rows) + panel_rows),
        values_(std::size_t(rows + 1) * std::size_t(stride_)) {
    std::fill(values_.begin(), values_.end(), margin);
  }
  float* data() const { return values_.data(); }
  int stride() const { return stride_; }
  float& at(int row, int column) const {
    return values_[std::size_t(row) * std::size_t(stride_) + std::size_t(column)];
  }

  /// `scrap`: columns behind the last one that may be written.
  bool margin_is_untouched(int scrap = 0) const {
    for (int row = 0; row <= rows_; ++row)
      for (int column = row < rows_ ? columns_ + scrap : 0; column < stride_; ++column)
        if (at(row, column) != margin) return false;
    return true;
  }

 private:
  static constexpr float margin = -12345.5f;
  int rows_, columns_, stride_;
  AlignedArray<float> values_;
};

/// Equal bits, not just equal values: 0 and -0 differ, a NaN is itself.
inline bool same_bits(std::span<float const> a, std::span<float const> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}

}  // namespace windlass::testing_data

#define INSTANTIATE_FOR_EVERY_BACKEND(Suite) \
  INSTANTIATE_TEST_SUITE_P(, Suite, ::testing::ValuesIn(testing_data::tested_backends()), testing_data::backend_name)
