/// Meshes of GPUs that several models share, in time and in SMs: MuxServe, and its spatial and temporal baselines.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "src/policy/multiplex_estimate.hpp"
#include "src/policy/multiplex_schedule.hpp"
#include "src/sim/outcome.hpp"
#include "src/sim/span_log.hpp"
#include "src/sim/step_grid.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

/// Step times of one model on the GPUs of its mesh, by the share of SMs: linear between measured shares, below the
/// smallest in inverse proportion to it.
class SharedStepTimes {
 public:
  /// `overhead_us_per_sequence`: what scheduling adds to a decode step. Throws InputError without a measurement of each
  /// phase.
  explicit SharedStepTimes(std::map<int, std::vector<MultiplexSample>> const& by_percent,
                           double overhead_us_per_sequence = 0);

  Microseconds prefill_us(double sm_percent, double prompts, double mean_tokens) const;
  Microseconds decode_us(double sm_percent, double sequences, double mean_context) const;

 private:
  using Grids = std::map<int, StepGrid>;
  static Microseconds at(Grids const& grids, double sm_percent, GridSample const& size);
  Grids prefill_, decode_;
  double overhead_us_per_sequence_;
};

struct MeshModel {
  std::int32_t model;  ///< what requests name
  std::shared_ptr<SharedStepTimes const> times;
  double rate_per_s;                ///< expected; quotas start in proportion to it
  std::int64_t blocks_per_block;    ///< head-wise blocks of one block of tokens on one GPU: layers * heads / tp
  int prefill_parts, decode_parts;  ///< of the ten parts of the SMs
  double mean_tokens = 0;           ///< of prompt and output; 0: MeshCluster::mean_tokens
};

struct ModelMesh {
  int gpus;
  std::int64_t head_blocks;  ///< pool of one GPU, shared by all models
  std::vector<MeshModel> models;
};

enum class QuotaRule : std::uint8_t {
  none,    ///< a model takes what it finds of the pool
  fixed,   ///< in proportion to rate and size, as at the start
  adapted  ///< lent to those that lack (plan_quota)
};

struct MeshCluster {
  std::vector<ModelMesh> meshes;  ///< a model lies on one of them
  SchedulingRule scheduling = SchedulingRule::prefill_first;
  QuotaRule quotas = QuotaRule::adapted;
  int overload_parts = 2;  ///< SM parts that two jobs may own at once; each gets half of them
  std::int32_t block_tokens = 16;
  std::int64_t batch_tokens = 2048;  ///< prompt tokens of one prefill; a longer prompt goes alone
  double mean_tokens = 498;          ///< of prompt and output: what quotas count a sequence as
  Microseconds adaptation_us = 8'000'000;
  SpanLog* spans = nullptr;  ///< gets every step; outlives the run
};

struct MeshModelUse {
  std::int64_t requests = 0;
  std::int64_t completed_in_time = 0;  ///< before the last request came
  std::int64_t preemptions = 0;
  std::int64_t first_quota = 0, last_quota = 0;  ///< sequences
};

struct MeshReport {
  std::vector<RequestOutcome> outcomes;  ///< as the workload
  std::vector<MeshModelUse> models;      ///< by the models' numbers
  std::vector<Microseconds> busy_us;     ///< [meshes]: some job ran
  Microseconds last_arrival_us = 0, end_us = 0;
  std::int64_t left_blocks = 0;        ///< held at the end: 0 unless something leaked
  std::int64_t quota_blocks_lost = 0;  ///< first quotas less last ones and fragments: 0 unless something leaked
};

/// Runs the workload to its end; every prefill and every decode step of every model is an event. A request whose KV the
/// pool could never hold is rejected at arrival. Throws InputError where a request names a model that no mesh has, or a
/// mesh has no model.
MeshReport simulate(MeshCluster const& cluster, Workload const& workload);

/// Requests/s completed while requests came: the sum over the models, and the mean weighted by their request counts.
double throughput_of(MeshReport const& report);
double weighted_throughput_of(MeshReport const& report);

}  // namespace windlass
