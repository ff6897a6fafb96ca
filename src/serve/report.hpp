/// What a batch did, for people and for programs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/engine/engine.hpp"
#include "src/serve/batch_statistics.hpp"
#include "src/serve/checkpointer.hpp"
#include "src/serve/progress.hpp"

namespace windlass {

/// Speeds next to what the same machine can do, measured in the same run.
struct MachineShare {
  double read_gb_per_s = 0;     ///< measured: the team reading a buffer as large as the weights
  double weights_gb_per_s = 0;  ///< the weights' bytes once per step, over the time in steps
  double share() const { return read_gb_per_s > 0 ? weights_gb_per_s / read_gb_per_s : 0; }
};

/// What the checkpoint folder gave and took.
struct CheckpointSummary {
  std::uint64_t loaded_number = 0;  ///< 0: there was none
  std::int64_t lost_parts = 0;      ///< damaged or missing files of it
  CheckpointCounts counts;
  double seconds_after_checkpoint = 0;  ///< that the earlier run lived on: its work of that time is done twice, at most
  double seconds_spent_twice = 0;       ///< that, and what could not be restored
};

/// What the ranks of a job read of the model: one copy on each host, where its ranks can share it.
struct WeightReads {
  int ranks = 0;            ///< that read
  std::uint64_t bytes = 0;  ///< of weights, by all of them
  double seconds = 0;       ///< of the rank that took the longest to load
};

/// KV that went from instance to instance in one way.
struct KvFlow {
  std::int64_t requests = 0, pages = 0, bytes = 0;
  std::int64_t work_us = 0;  ///< bytes on their way, or pages changing hands
  double gb_per_s() const { return work_us > 0 ? double(bytes) / double(work_us) * 1e-3 : 0; }
  double us_per_request() const { return requests > 0 ? double(work_us) / double(requests) : 0; }
};

/// KV that went from prefill to decode instances.
struct KvReport {
  KvFlow shared;                ///< pages changed hands inside a machine, and no byte was copied
  KvFlow copied;                ///< by `copying`
  std::string copying;          ///< the transport's name
  double link_gb_per_s = 0;     ///< measured: what plain MPI moves between two of these instances
  std::int64_t handoff_us = 0;  ///< from offers to ends, with all waits
  std::int64_t failed = 0;      ///< handoffs whose prompts were computed again
  std::int64_t without_kv = 0;  ///< requests that were handed over before anything was computed
};

struct BatchReport {
  std::string status;           ///< "done", "again" or "failed"
  BatchCounts counts;           ///< of this run, safe on disk
  std::int64_t skipped = 0;     ///< answered by earlier runs
  std::int64_t run_errors = 0;  ///< left for the next run
  double seconds = 0;           ///< from the first step to the last record on disk
  double load_seconds = 0;
  EngineCounters engine;
  LatencyHistogram ttft, tpot;
  std::string version, commit, mpi_library;
  std::string host, processor;
  int cores = 0, threads = 0;
  std::string model_path, model_identity, architecture;
  std::uint64_t model_bytes = 0, weight_bytes = 0, kv_bytes = 0;
  std::uint64_t peak_resident_bytes = 0;             ///< of the process; 0: unknown
  std::vector<std::string> arithmetic;               ///< more than one: answers of unlike arithmetic in one file
  std::map<std::string, std::string> configuration;  ///< every option with its effective value
  std::optional<MachineShare> machine_share;
  WeightReads weight_reads;
  std::optional<KvReport> kv;
  std::vector<int> lost_ranks;  ///< that died in this run, in the order of their deaths
  int instances = 1, lost_instances = 0, spares_taken = 0;
  std::int64_t restarted_requests = 0;  ///< that ran at a loss and started again elsewhere
  std::vector<InstanceView> views;      ///< of several instances
  std::optional<CheckpointSummary> checkpoint;
  int allocations = 1;                 ///< that worked on this output, this one included
  std::optional<double> time_limit_s;  ///< at the start, where it was known
};

std::string report_json(BatchReport const& report);

/// Which ranks were lost and what became of their work, in words; empty where none was.
std::string losses_text(BatchReport const& report);

/// How much KV moved, by what, how fast, beside the link's limit.
std::string kv_text(KvReport const& kv);

/// Why a run is wrong, however right its answers are, in which another rank went on with `continued_prompts` than had
/// computed them; empty: its KV moved, or had not to.
std::string missing_kv(KvReport const& kv, std::int64_t continued_prompts);

/// Some lines with the figures that matter most.
std::string report_table(BatchReport const& report);

}  // namespace windlass
