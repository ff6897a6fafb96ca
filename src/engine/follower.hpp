/// The ranks of an instance beside its leader: they compute what the leader's engine plans.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "src/engine/engine.hpp"
#include "src/kv/layer_group.hpp"

namespace windlass {

enum class FollowerStep : std::uint8_t { nothing, computed, ended };

/// It knows no requests and no tokens but those of a step, so it can never disagree with the leader. One thread calls
/// it.
class Follower {
 public:
  /// As Engine, whose constructor it meets: `config` is that of the leader.
  Follower(Model const& model, EngineConfig const& config, Operations const& operations, Collective& collective,
           ThreadTeam& team);
  ~Follower();

  /// Waits up to `patience_us` for the leader's next step and computes it. Throws InstanceBroken.
  FollowerStep step(Microseconds patience_us);
  Microseconds begun_us() const;               ///< when the leader's last step came
  std::span<LayerGroup const> groups() const;  ///< with their pools; valid as long as the follower

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace windlass
