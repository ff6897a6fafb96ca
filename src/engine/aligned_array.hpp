/// Arrays for kernels, in a backend's memory: aligned to a page, zero at first.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/memory.hpp"

namespace windlass {

template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::size_t count, Memory const& memory = host_memory, MemoryUse use = MemoryUse::buffers)
      : count_(count) {
    if (count > 0) bytes_ = memory.allocate(size_bytes(), use);
  }
  AlignedArray(AlignedArray&&) noexcept = default;
  AlignedArray& operator=(AlignedArray&&) noexcept = default;

  T* data() const { return reinterpret_cast<T*>(bytes_.get()); }
  std::size_t size() const { return count_; }
  std::size_t size_bytes() const { return count_ * sizeof(T); }
  T& operator[](std::size_t i) const { return data()[i]; }

 private:
  std::shared_ptr<std::byte> bytes_;
  std::size_t count_ = 0;
};

}  // namespace windlass
