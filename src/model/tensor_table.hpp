/// The tensors of a model, whichever files and format they are in.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/file_types.hpp"
#include "src/model/file_bytes.hpp"

namespace windlass {

/// Checked: bytes == row_bytes(type, elements), and [offset, offset + bytes) lies in the file.
struct Tensor {
  std::string name;
  FileType type = FileType::f32;
  std::vector<std::int64_t> shape;  ///< outermost dimension first: [rows, columns]
  FileBytes const* file = nullptr;
  std::uint64_t offset = 0, bytes = 0;

  std::int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const;  ///< product of all dimensions but the last
  std::string where() const;  ///< "FILE: tensor NAME", for messages
};

std::string shape_text(std::span<std::int64_t const> shape);  ///< "[576, 1536]"

class TensorTable {
 public:
  std::shared_ptr<FileBytes const> add_file(FileBytes file);
  /// Throws InputError where the name is already taken.
  void add(Tensor tensor);

  /// A tensor whose type cannot be read: an error only if it is needed. `problem`: "FILE: tensor NAME has the type X".
  void add_unsupported(std::string name, std::string problem);

  /// Null where there is none. Throws InputError where its type is not supported.
  Tensor const* find(std::string_view name) const;
  bool contains(std::string_view name) const;
  std::map<std::string, Tensor, std::less<>> const& all() const { return tensors_; }
  std::uint64_t file_bytes() const;  ///< of all files together

 private:
  std::vector<std::shared_ptr<FileBytes const>> files_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> unsupported_;
};

/// Number of elements. Throws InputError (with `where`) where a dimension is negative or the product is beyond 2^48.
std::int64_t checked_elements(std::span<std::int64_t const> shape, std::string const& where);

}  // namespace windlass
