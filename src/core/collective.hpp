/// What the ranks of one instance do together. mpi/ implements it for several ranks; one rank needs only this file.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"

namespace windlass {

/// A rank of the instance is dead or silent: nothing can be computed on it any more.
class InstanceBroken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The ranks of one tensor-parallel instance. What they exchange is never changed on the way: sums are made by whoever
/// reads, in the canonical order (kernels/sum_partials.hpp), so results have the same bits whatever the degree.
///
/// Every call but degree(), instance_rank() and capacity_bytes() is collective over the instance: all ranks make the
/// same calls in the same order. They throw InstanceBroken where a rank is dead or not there in time. One thread per
/// rank calls.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual int degree() const = 0;                  ///< ranks in the group
  virtual int instance_rank() const = 0;           ///< 0 .. degree-1; 0 leads
  virtual std::size_t capacity_bytes() const = 0;  ///< of an outbox

  /// Where this rank writes what the next exchange() shows to all; capacity_bytes(), aligned to 64. Local. Valid until
  /// that exchange.
  virtual std::byte* outbox() = 0;
  /// [degree] what every rank wrote: rank r the first `bytes[r]` of its outbox. The same `bytes` on all ranks. Valid
  /// until the exchange after the next one.
  virtual std::span<std::byte const* const> exchange(std::span<std::size_t const> bytes) = 0;

  /// Rank 0 tells the others what comes next.
  virtual void announce(std::span<std::byte const> message) = 0;
  /// On the others: what rank 0 announced, or nothing where it says nothing for `patience_us`.
  virtual std::optional<std::vector<std::byte>> await_announcement(Microseconds patience_us) = 0;
};

/// The group of one rank: nothing to exchange.
class LocalCollective final : public Collective {
 public:
  int degree() const override { return 1; }
  int instance_rank() const override { return 0; }
  std::size_t capacity_bytes() const override { return 0; }
  std::byte* outbox() override { return nullptr; }
  std::span<std::byte const* const> exchange(std::span<std::size_t const>) override {
    ensure(false, "one rank has nobody to exchange with");
    return {};
  }
  void announce(std::span<std::byte const>) override {}
  std::optional<std::vector<std::byte>> await_announcement(Microseconds) override { return std::nullopt; }
};

}  // namespace windlass
