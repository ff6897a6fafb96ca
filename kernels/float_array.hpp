/// Floats that operations read and nobody changes: norm weights and biases.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "kernels/weight_arena.hpp"

namespace windlass {

class FloatArray {
 public:
  FloatArray() = default;
  /// A copy of `values` in the arena's memory.
  FloatArray(std::span<float const> values, WeightArena& arena) {
    if (values.empty()) return;
    WeightArena::Part const part = arena.allocate(values.size_bytes());
    auto* const copy = reinterpret_cast<float*>(part.bytes.data());
    std::copy(values.begin(), values.end(), copy);
    values_ = {copy, values.size()};
    owner_ = part.owner;
  }

  float const* data() const { return values_.data(); }
  float const* data_or_null() const { return empty() ? nullptr : data(); }
  std::size_t size() const { return values_.size(); }
  bool empty() const { return values_.empty(); }
  float operator[](std::size_t i) const { return values_[i]; }
  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }
  operator std::vector<float>() const { return {begin(), end()}; }

 private:
  std::span<float const> values_;
  std::shared_ptr<void const> owner_;
};

}  // namespace windlass
