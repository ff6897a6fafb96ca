/// What a forward pass over several ranks adds to that of one: sums and rows that lie on other ranks.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/operations.hpp"
#include "src/core/collective.hpp"
#include "src/engine/slice_plan.hpp"

namespace windlass {

/// Collective over the instance, as `collective` is. On one rank every call is the plain operation.
class TensorGroup {
 public:
  TensorGroup(Collective& collective, Operations const& operations, Queue const& queue);

  bool alone() const { return collective_.degree() == 1; }
  int degree() const { return collective_.degree(); }
  int rank() const { return collective_.instance_rank(); }

  /// The product over all of K, on every rank. `op.weight` and `op.x` are the columns of plan.own; op.slices is not
  /// read.
  void product(MatMul const& op, SlicePlan const& plan);

  /// Rows that each rank made.
  struct Rows {
    float const* own = nullptr;  ///< [rows[rank()], stride]
    std::int64_t stride = 0;
    std::span<int const> rows;    ///< [ranks]
    std::span<int const> widths;  ///< [ranks]
  };
  /// Shows every rank's rows to every rank: take(rank, first row, count, data), data [count, widths[rank]], in pieces,
  /// each rank's rows ascending.
  template <class Take>
  void share(Rows const& rows, Take const& take) {
    int const longest = *std::max_element(rows.rows.begin(), rows.rows.end());
    int const widest = *std::max_element(rows.widths.begin(), rows.widths.end());
    int const piece = rows_per_exchange(std::size_t(widest) * sizeof(float));
    for (int first = 0; first < longest; first += piece) {
      auto const shown = show(rows, first, piece);
      for (int rank = 0; rank < degree(); ++rank) {
        int const count = std::min(piece, rows.rows[std::size_t(rank)] - first);
        if (count > 0) take(rank, first, count, reinterpret_cast<float const*>(shown[std::size_t(rank)]));
      }
    }
  }

 private:
  int rows_per_exchange(std::size_t row_bytes) const;
  std::span<std::byte const* const> show(Rows const& rows, int first, int most);
  void product_of_rows(MatMul const& op, SlicePlan const& plan);

  Collective& collective_;
  Operations const& operations_;
  Queue queue_;
  std::vector<std::size_t> bytes_;      // [ranks] of an exchange
  std::vector<float const*> partials_;  // [roots]
};

}  // namespace windlass
