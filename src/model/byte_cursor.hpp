/// Reading small values in order from a file.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "src/model/file_bytes.hpp"

namespace windlass {

/// Reads ahead 1 MiB at a time. Every read throws InputError, naming the file and `what` (set by the user for what
/// comes next), where the file ends too early.
class ByteCursor {
 public:
  explicit ByteCursor(FileBytes const& file) : file_(&file) {}

  std::uint64_t position() const { return start_ + used_; }
  std::uint64_t left() const { return file_->size() - position(); }
  void expect(std::string what) { what_ = std::move(what); }
  std::string where() const;  ///< "FILE: WHAT"

  template <class T>
  T take() {
    T value;
    std::memcpy(&value, bytes(sizeof(T)), sizeof(T));
    return value;
  }
  std::string take_text(std::uint64_t length) { return {reinterpret_cast<char const*>(bytes(length)), length}; }

 private:
  std::byte const* bytes(std::uint64_t count);

  FileBytes const* file_;
  std::string what_;
  std::vector<std::byte> buffer_;
  std::uint64_t start_ = 0;  ///< offset of buffer_ in the file
  std::size_t used_ = 0;     ///< bytes of buffer_ already taken
};

}  // namespace windlass
