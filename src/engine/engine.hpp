/// One instance's continuous batching: requests in, answers out, one forward pass a step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/operations.hpp"
#include "src/core/collective.hpp"
#include "src/core/thread_team.hpp"
#include "src/engine/handoff.hpp"
#include "src/engine/request.hpp"
#include "src/engine/snapshot.hpp"
#include "src/kv/page_pool.hpp"
#include "src/model/model.hpp"
#include "src/policy/plan_log.hpp"

namespace windlass {

enum class PrefixReuse : std::uint8_t { off, on };

/// What becomes of a request whose prompt is computed and whose first tokens are drawn.
enum class AfterPrompt : std::uint8_t {
  decode,
  hold  ///< it waits, with its pages, to be detached: another engine decodes
};

/// Memory for the pages of one layer group: where it is null, and on a device, the engine takes its own.
using PoolMemory = std::function<std::shared_ptr<PageMemory>(int group, PagePoolConfig const& wanted)>;

struct EngineConfig {
  Precision precision = Precision::fast;
  int max_sequences = 64;     ///< running at once
  int chunk_tokens = 512;     ///< prompt tokens prefilled in one step, at most
  std::int64_t kv_bytes = 0;  ///< of the page pool; 0: sized from memory by the caller before this
  PrefixReuse prefix_reuse = PrefixReuse::on;
  AfterPrompt after_prompt = AfterPrompt::decode;
  PlanLog* plan_log = nullptr;  ///< gets every step's batching; outlives the engine
  PoolMemory pool_memory = {};  ///< for pages that other processes shall reach
};

struct EngineCounters {
  std::int64_t steps = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0, preemptions = 0;
  std::int64_t busy_us = 0;  ///< in steps
  int running = 0, waiting = 0;
  std::uint32_t pages = 0, free_pages = 0;
  std::int64_t held_tokens = 0;  ///< whose KV unfinished requests hold
};

/// Local; one thread calls it. Nothing a request asks for can throw here: it is answered with an error. On an instance
/// of several ranks it runs on the first one, and leads: the others have a Follower (follower.hpp); step() throws
/// InstanceBroken where one of them is lost.
class Engine {
 public:
  /// `model`, `operations`, `collective` and `team` must outlive the engine; `model` is the shard of the collective's
  /// rank. Throws InputError where the pool cannot hold one page.
  Engine(Model const& model, EngineConfig const& config, Operations const& operations, Collective& collective,
         ThreadTeam& team);
  ~Engine();

  void submit(Request request);
  void cancel(RequestId request);
  bool idle() const;                   ///< nothing running, nothing waiting
  void step();                         ///< one forward pass over what runs; does nothing when idle
  void end_followers();                ///< of an instance of several ranks: no step comes after it
  std::vector<Answer> take_answers();  ///< finished since the last call
  /// What requests with Deltas::on gained since the last call, in the order of the steps. A choice that fails has no
  /// last delta: the answer's error is its end.
  std::vector<ChoiceDelta> take_deltas();
  EngineCounters counters() const;

  // Handoff between engines of one model and one arithmetic. The tokens are those of an engine that kept the request.
  /// From the next step on; what is held already stays held.
  void set_after_prompt(AfterPrompt after_prompt);
  /// With AfterPrompt::hold: requests whose unfinished choices all wait to be detached, since the last call.
  std::vector<RequestId> take_held();
  /// Takes a request out between two steps, in whatever state; nothing where it is not known (finished, cancelled).
  /// Its pages stay in use until the result is destroyed, which must be before the engine.
  std::optional<DetachedRequest> detach(RequestId request);
  /// Pages for the KV of the first `positions` positions of a request that shall be attached, as far as a row behind
  /// them reads it. Evicts what nobody uses; nothing where that is not enough.
  std::optional<SequencePages> reserve(int positions);
  /// Goes on with a request whose pages lie in this engine's pools and hold what the other engine's held.
  void attach(DetachedRequest request);
  std::span<LayerGroup const> groups() const;  ///< with their pools; valid as long as the engine

  // Checkpoints. The tokens are those of an engine that was never stopped.
  /// What runs, waits with progress, or is indexed, and requests that were detached and have not arrived anywhere yet.
  /// Cheap: copies tokens and partial pages alone.
  std::unique_ptr<EngineSnapshot> snapshot(std::span<DetachedRequest const* const> travelling = {});
  /// Instead of submit(), for a request that has progress: what the archive lacks is computed again.
  RestoredTokens restore(SavedProgress saved, PageArchive& archive);
  /// Before submit(): takes what the archive has of the prompt's beginning into the prefix index, as far as there are
  /// free pages. Counts what was read, and what should have been there but was not.
  RestoredTokens restore_prefix(Request const& request, PageArchive& archive);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace windlass
