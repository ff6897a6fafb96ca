/// What the ranks of one instance do together. mpi/ implements it for several ranks; one rank needs only this file.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"

namespace windlass {

/// A rank of the instance is dead or silent: nothing can be computed on it any more.
class InstanceBroken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The ranks of one instance, or of one of its stages. What they exchange is never changed on the way: sums are made by
/// whoever reads, in the canonical order (kernels/sum_partials.hpp), so results have the same bits whatever the degree.
///
/// exchange(), announce() and await_announcement() are collective over the group: all ranks make the same calls in the
/// same order. send() and receive() are between two ranks. All of them throw InstanceBroken where a rank is dead or not
/// there in time. One thread per rank calls.
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

  /// To rank `to`, which gets exactly these bytes by one receive(); in the order of the calls. A rank sends to one rank
  /// alone. Returns when the bytes may be changed, which may be when they are received.
  virtual void send(int to, std::span<std::byte const> bytes) = 0;
  virtual void receive(int from, std::span<std::byte> bytes) = 0;

  /// The ranks that hold the same layers as this one; the group itself where all do. Rank r of the instance is rank
  /// r % d of stage r / d, d being the degree of a stage.
  virtual Collective& stage() { return *this; }
};

inline int stages_of(Collective& instance) { return instance.degree() / instance.stage().degree(); }
inline int stage_of(Collective& instance) { return instance.instance_rank() / instance.stage().degree(); }

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
  void send(int, std::span<std::byte const>) override { ensure(false, "one rank has nobody to send to"); }
  void receive(int, std::span<std::byte>) override { ensure(false, "one rank has nobody to receive from"); }
};

/// An instance of several stages: the group of all its ranks, which knows that of this rank's stage.
class StagedCollective final : public Collective {
 public:
  StagedCollective(std::unique_ptr<Collective> all, std::unique_ptr<Collective> stage)
      : all_(std::move(all)), stage_(std::move(stage)) {}

  int degree() const override { return all_->degree(); }
  int instance_rank() const override { return all_->instance_rank(); }
  std::size_t capacity_bytes() const override { return all_->capacity_bytes(); }
  std::byte* outbox() override { return all_->outbox(); }
  std::span<std::byte const* const> exchange(std::span<std::size_t const> bytes) override {
    return all_->exchange(bytes);
  }
  void announce(std::span<std::byte const> message) override { all_->announce(message); }
  std::optional<std::vector<std::byte>> await_announcement(Microseconds patience_us) override {
    return all_->await_announcement(patience_us);
  }
  void send(int to, std::span<std::byte const> bytes) override { all_->send(to, bytes); }
  void receive(int from, std::span<std::byte> bytes) override { all_->receive(from, bytes); }
  Collective& stage() override { return *stage_; }

 private:
  std::unique_ptr<Collective> all_, stage_;
};

}  // namespace windlass
