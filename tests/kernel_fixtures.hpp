/// Data for kernel tests: aligned arrays, packed matrices, pools with sequences.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "kernels/activations.hpp"
#include "kernels/float_formats.hpp"
#include "kernels/kv_layout.hpp"
#include "kernels/operations.hpp"
#include "kernels/packed_matrix.hpp"

namespace windlass::testing_data {

/// Memory aligned to 64 bytes, as the contracts ask; zero at first. Where a device is there, it reaches it too.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size) : size_(size), bytes_(allocate((size + 64) / 64 * 64)) {}
  std::byte* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }

 private:
  static std::shared_ptr<std::byte> allocate(std::size_t size) {
    static Memory const& memory = *available_operations().back()->memory;
    if (memory.space == MemorySpace::device) return memory.allocate(size, MemoryUse::results);
    auto* const bytes = static_cast<std::byte*>(std::aligned_alloc(64, size));
    std::memset(bytes, 0, size);
    return {bytes, &std::free};
  }
  std::size_t size_;
  std::shared_ptr<std::byte> bytes_;
};

template <class T>
class AlignedArray {
 public:
  explicit AlignedArray(std::size_t count) : count_(count), bytes_(count * sizeof(T)) {}
  T* data() const { return reinterpret_cast<T*>(bytes_.data()); }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return data()[i]; }
  T* begin() const { return data(); }
  T* end() const { return data() + count_; }

 private:
  std::size_t count_;
  AlignedBytes bytes_;
};

using Random = std::mt19937_64;

inline float normal(Random& random, float scale = 1) { return std::normal_distribution<float>(0, scale)(random); }

inline AlignedArray<float> normal_array(Random& random, std::size_t count, float scale = 1) {
  AlignedArray<float> values(count);
  for (float& value : values) value = normal(random, scale);
  return values;
}

inline int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

struct MatrixShape {
  WeightFormat format = WeightFormat::f32;
  ScaleType scale_type = ScaleType::none;  ///< f16 or f32 where the format is quantised
  int scale_group = group_size;
  int rows = 0, columns = 0;  ///< columns: a multiple of 32 where the format is quantised
};

namespace detail {

inline void put_half(std::byte* at, float value) {
  std::uint16_t const bits = float_to_half(value);
  std::memcpy(at, &bits, 2);
}

/// One group of one panel; columns and rows outside of the matrix stay zero.
inline void fill_group(PackedMatrix const& m, std::byte* group, std::pair<int, int> panel_and_group, Random& random) {
  auto const [panel, group_index] = panel_and_group;
  for (int r = 0; r < panel_rows && panel * panel_rows + r < m.rows; ++r)
    for (int k = 0; k < group_size && group_index * group_size + k < m.columns; ++k) {
      float const value = normal(random, 0.05f);
      std::size_t const plain = std::size_t(k * panel_rows + r);
      std::size_t const by_two = std::size_t((k / 2 * panel_rows + r) * 2 + k % 2);
      if (m.format == WeightFormat::f32) std::memcpy(group + plain * 4, &value, 4);
      if (m.format == WeightFormat::f16) put_half(group + plain * 2, value);
      if (m.format == WeightFormat::bf16) {
        std::uint16_t const bits = float_to_bf16(value);
        std::memcpy(group + by_two * 2, &bits, 2);
      }
    }
}

/// Random codes for all, scales and mins for the rows of the matrix.
inline void fill_quantized_group(PackedMatrix const& m, std::byte* group, int rows_here, Random& random) {
  std::size_t const bytes_of_scale = m.scale_type == ScaleType::f16 ? 2 : 4;
  std::size_t const scales = std::size_t(group_size / m.scale_group) * panel_rows;
  std::size_t const arrays = has_min(m.format) ? 2 : 1;
  std::size_t const codes = m.group_bytes() - arrays * scales * bytes_of_scale;
  for (std::size_t i = 0; i < codes; ++i) group[i] = std::byte(random() & 255);
  for (std::size_t i = 0; i < arrays * scales; ++i) {
    if (int(i % panel_rows) >= rows_here) continue;
    float const magnitude = std::uniform_real_distribution<float>(0.001f, 0.01f)(random);
    float const value = i < scales ? magnitude : -8 * magnitude;
    std::byte* at = group + codes + i * bytes_of_scale;
    if (m.scale_type == ScaleType::f16)
      put_half(at, value);
    else
      std::memcpy(at, &value, 4);
  }
}

}  // namespace detail

/// A packed matrix of random values.
inline PackedMatrix random_matrix(MatrixShape const& shape, Random& random) {
  PackedMatrix matrix{.format = shape.format,
                      .scale_type = shape.scale_type,
                      .scale_group = shape.scale_group,
                      .rows = shape.rows,
                      .columns = shape.columns};
  auto const bytes = std::make_shared<AlignedBytes>(matrix.size_bytes());
  matrix.bytes = {bytes->data(), bytes->size()};
  matrix.owner = bytes;
  for (int panel = 0; panel < matrix.panels(); ++panel)
    for (int group = 0; group < matrix.groups(); ++group) {
      std::byte* at = bytes->data() + (matrix.group(panel, group) - matrix.bytes.data());
      if (is_quantized(shape.format))
        detail::fill_quantized_group(matrix, at, std::min(panel_rows, shape.rows - panel * panel_rows), random);
      else
        detail::fill_group(matrix, at, {panel, group}, random);
    }
  return matrix;
}

/// Owns rows of activations in one format.
class ActivationRows {
 public:
  ActivationRows(ActivationFormat format, int tokens, int columns)
      : values_(std::size_t(round_to_tile(tokens)) * std::size_t(round_up(columns, group_size)) * 4),
        scales_(std::size_t(round_to_tile(tokens)) * std::size_t(round_up(columns, group_size) / group_size)),
        scaled_sums_(scales_.size()),
        sums_(scales_.size()) {
    view = {.format = format,
            .values = values_.data(),
            .scales = scales_.data(),
            .scaled_sums = scaled_sums_.data(),
            .sums = sums_.data(),
            .stride = round_up(columns, group_size)};
    std::size_t const value_bytes = format == ActivationFormat::f32 ? 4 : format == ActivationFormat::bf16 ? 2 : 1;
    int const rows = format == ActivationFormat::int8 ? round_to_tile(tokens) : tokens;
    bytes_ = std::size_t(rows) * std::size_t(view.stride) * value_bytes;
  }
  Activations view;

  std::vector<std::byte> values() const { return {values_.data(), values_.data() + bytes_}; }
  std::vector<float> scales() const { return {scales_.begin(), scales_.end()}; }
  std::vector<float> scaled_sums() const { return {scaled_sums_.begin(), scaled_sums_.end()}; }
  std::vector<std::int32_t> sums() const { return {sums_.begin(), sums_.end()}; }

  /// All bits set: NaN as a float, -1 as an integer.
  void fill_with_garbage() {
    std::memset(values_.data(), 0xff, values_.size());
    for (AlignedArray<float> const* factors : {&scales_, &scaled_sums_})
      std::memset(factors->data(), 0xff, factors->size() * sizeof(float));
    std::memset(sums_.data(), 0xff, sums_.size() * sizeof(std::int32_t));
  }

 private:
  AlignedBytes values_;
  std::size_t bytes_;
  AlignedArray<float> scales_, scaled_sums_;
  AlignedArray<std::int32_t> sums_;
};

/// A pool of pages and the page tables of some sequences; pages are handed out in a shuffled order, each once.
struct PagedSequences {
  KvShape shape;
  AlignedBytes pool;
  std::vector<std::vector<std::uint32_t>> tables;

  /// `contexts[i]`: positions of sequence i.
  PagedSequences(KvShape const& kv_shape, std::span<int const> contexts, Random& random)
      : shape(kv_shape), pool(pages_of(contexts) * kv_shape.page_bytes()) {
    std::vector<std::uint32_t> free(pages_of(contexts));
    for (std::size_t i = 0; i < free.size(); ++i) free[i] = std::uint32_t(i);
    std::shuffle(free.begin(), free.end(), random);
    for (int context : contexts) {
      auto const pages = std::ptrdiff_t((context + block_tokens - 1) / block_tokens);
      tables.emplace_back(free.end() - pages, free.end());
      free.resize(free.size() - std::size_t(pages));
    }
  }
  KvView view(int layer = 0) const { return {.base = pool.data(), .shape = shape, .layer = layer}; }

 private:
  static std::size_t pages_of(std::span<int const> contexts) {
    std::size_t pages = 0;
    for (int context : contexts) pages += std::size_t((context + block_tokens - 1) / block_tokens);
    return pages;
  }
};

}  // namespace windlass::testing_data
