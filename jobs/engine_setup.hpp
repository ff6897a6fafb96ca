/// From options to a model and an engine on this machine's cores.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/engine_options.hpp"
#include "mpi/topology.hpp"
#include "src/engine/engine.hpp"
#include "src/model/model.hpp"

namespace windlass {

/// Made piece by piece, in this order, and destroyed in the other one.
struct EngineSetup {
  CoreSet cores;
  int threads = 0;
  Operations const* operations = nullptr;
  std::string arithmetic;  ///< id
  LocalCollective collective;
  std::unique_ptr<ThreadTeam> team;
  Model model;
  std::int64_t kv_bytes = 0;
  std::unique_ptr<PlanLog> plan_log;  ///< null where plans are not recorded
  std::unique_ptr<Engine> engine;

  /// That the KV cache holds.
  std::int64_t kv_tokens() const { return std::int64_t(engine->counters().pages) * block_tokens; }
};

/// What a rank among others is given of its host, and what it does there.
struct EnginePlace {
  std::vector<int> cpus;  ///< empty: whatever the process may use
  int host_ranks = 1;     ///< that share the host's memory
  AfterPrompt after_prompt = AfterPrompt::decode;
  std::string record_suffix{};  ///< behind the name of the file of recorded plans
};

/// Finds cores, picks the backend (`recorded_arithmetic`: of the output that is resumed; "auto" goes on with its
/// backend where this machine has it), loads the model and sizes the KV cache. Throws InputError or FileError.
std::unique_ptr<EngineSetup> set_up_engine(EngineOptions const& options,
                                           std::optional<std::string> const& recorded_arithmetic,
                                           EnginePlace const& place = {});

}  // namespace windlass
