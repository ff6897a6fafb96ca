/// What the ranks of one instance do together. mpi/ implements it for several ranks; one rank needs only this file.
#pragma once

namespace windlass {

/// Tensor-parallel exchange of one instance. A rank holds the float32 partial sums of the K slices it owns; the
/// combined result is the sum over all slices in the tree of `kernels/slices.hpp`, whatever the degree.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual int degree() const = 0;         ///< ranks in the group
  virtual int instance_rank() const = 0;  ///< 0 .. degree-1
};

/// The group of one rank: nothing to exchange.
class LocalCollective final : public Collective {
 public:
  int degree() const override { return 1; }
  int instance_rank() const override { return 0; }
};

}  // namespace windlass
