/// From options to a model and an engine on this machine's cores.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/engine_options.hpp"
#include "mpi/shared_weights.hpp"
#include "mpi/topology.hpp"
#include "src/engine/engine.hpp"
#include "src/engine/follower.hpp"
#include "src/model/model.hpp"

namespace windlass {

/// Made piece by piece, in this order, and destroyed in the other one.
struct EngineSetup {
  CoreSet cores;
  int threads = 0;
  Operations const* operations = nullptr;
  std::string arithmetic;  ///< id
  std::unique_ptr<Collective> collective;
  std::unique_ptr<ThreadTeam> team;
  Model model;
  std::uint64_t read_weight_bytes = 0;  ///< packed by this process; 0: it maps another one's copy, or needs none
  std::int64_t kv_bytes = 0;
  std::unique_ptr<PlanLog> plan_log;   ///< null where plans are not recorded
  std::unique_ptr<Engine> engine;      ///< of the instance's leader
  std::unique_ptr<Follower> follower;  ///< of its other ranks

  /// That the KV cache holds; on a leader.
  std::int64_t kv_tokens() const { return std::int64_t(engine->counters().pages) * block_tokens; }
};

/// What a rank among others is given of its host, and what it does there.
struct EnginePlace {
  std::vector<int> cpus;  ///< empty: whatever the process may use
  int host_ranks = 1;     ///< that share the host's memory
  AfterPrompt after_prompt = AfterPrompt::decode;
  TensorParallel tensor_parallel;  ///< the shard of the model that it loads, of
  PipelinePlace pipeline;          ///< this stage
  bool computes = true;            ///< false: it needs the model's shape and texts, not its weights
  std::string record_suffix{};     ///< behind the name of the file of recorded plans
  PoolMemory pool_memory = {};     ///< for pages that other ranks shall reach
};

/// Finds cores, picks the backend (`recorded_arithmetic`: of the output that is resumed; "auto" goes on with its
/// backend where this machine has it), loads the model, into `shared` unless it is null, and sizes the KV cache. Throws
/// InputError or FileError.
std::unique_ptr<EngineSetup> load_engine(EngineOptions const& options,
                                         std::optional<std::string> const& recorded_arithmetic,
                                         EnginePlace const& place, SharedWeights* shared);

/// Makes the engine, or the follower, on what load_engine() has loaded. Collective over the instance.
void start_engine(EngineSetup& setup, EngineOptions const& options, EnginePlace const& place,
                  std::unique_ptr<Collective> collective);

/// Both, for a process that computes alone.
std::unique_ptr<EngineSetup> set_up_engine(EngineOptions const& options,
                                           std::optional<std::string> const& recorded_arithmetic);

}  // namespace windlass
