/// Finding a model's tensors, with every shape checked, as sources for packing.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "kernels/pack.hpp"
#include "src/model/tensor_table.hpp"

namespace windlass {

struct MatrixShape {
  std::int64_t rows = 0, columns = 0;
};

/// Remembers which tensors were used.
class TensorFinder {
 public:
  TensorFinder(TensorTable const& tensors, std::string source) : tensors_(&tensors), source_(std::move(source)) {}

  bool has(std::string const& name) const { return tensors_->contains(name); }
  /// Throws InputError where it is missing.
  Tensor const& get(std::string const& name);
  /// Throws InputError where it is missing or has another shape; sizes of 1 in front do not matter.
  Tensor const& get(std::string const& name, std::vector<std::int64_t> const& shape);

  /// `name`.weight as float32 values.
  std::vector<float> vector(std::string const& name, std::int64_t size);
  std::vector<float> bias(std::string const& name, std::int64_t size);

  /// The rows of `name`.weight of that shape, with its FP8 scales where it has them.
  RowSource rows(std::string const& name, MatrixShape shape);
  /// Matrix `index` of `count` in the tensor `name`.weight [count, rows, columns].
  RowSource stacked_rows(std::string const& name, MatrixShape shape, std::int64_t count, std::int64_t index);

  /// Throws InputError where a tensor whose name starts with `prefix` was never asked for, is not one of those known to
  /// be needless, and does not belong to a layer beyond the last one (`layer_prefix` and a number >= `layers`).
  struct Known {
    std::string prefix, layer_prefix;
    std::int64_t layers = 0;
  };
  void check_all_used(Known const& known) const;

 private:
  std::vector<float> values(Tensor const& tensor) const;
  BlockScales scales_of(std::string const& name, MatrixShape shape);

  TensorTable const* tensors_;
  std::string source_;
  std::set<std::string, std::less<>> used_;
};

/// Rows [first, first + count) of a source.
RowSource part_of(RowSource const& source, std::int64_t first, std::int64_t count);

/// Columns from `first` (a multiple of 32) on of a source whose rows have `columns` of them.
RowSource columns_from(RowSource const& source, std::int64_t first, std::int64_t columns);

}  // namespace windlass
