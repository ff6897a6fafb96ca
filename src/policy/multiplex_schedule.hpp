/// What starts on a mesh that several models share (MuxServe's adaptive batch scheduling), and their KV quotas.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/core/clock.hpp"

namespace windlass {

/// Ten parts of the SMs; each may be owned by two jobs at most.
struct ShareLedger {
  int free_parts = 10;     ///< owned by nobody
  int single_parts = 0;    ///< owned by one job
  int overload_parts = 2;  ///< of the single ones that another job may take
  bool can_take(int parts) const { return free_parts + std::min(overload_parts, single_parts) >= parts; }
  void take(int parts);
};

enum class SchedulingRule : std::uint8_t {
  /// One prefill at a time, of the model whose request waits longest: where that one may not start, no other does.
  /// Then decodes, the model with the oldest sequence first, up to the first that finds no share.
  first_come,
  round_robin,    ///< prefills model after model; the first that finds no share keeps its turn. Then decodes in turn
  prefill_first,  ///< ADBS: as round_robin, but a prefill that finds no share does not hold back the others'
};

struct MultiplexQueue {
  std::int64_t waiting_prompts;               ///< that fit one batch, the pool and the quota
  Microseconds oldest_waiting_us = never_us;  ///< arrival of the first that waits, fitting or not; never_us: none does
  Microseconds oldest_running_us = never_us;  ///< of the oldest sequence between two decode steps; never_us: none is
  std::int64_t decoding_sequences;
  bool prefill_runs, decode_runs;
  bool waits_for_cache;             ///< a decode of it ran out of blocks
  int prefill_parts, decode_parts;  ///< SM parts that its jobs take
};

struct MultiplexScheduleInput {
  SchedulingRule rule;
  std::span<MultiplexQueue const> models;
  ShareLedger ledger;
  std::size_t next_prefill = 0, next_decode = 0;  ///< where the rotation goes on
};

enum class JobPhase : std::uint8_t { prefill, decode };

struct StartedJob {
  std::size_t model;
  JobPhase phase;
};

enum class MultiplexScheduleStop : std::uint8_t { all_started, prefill_waits_for_share, nothing_ready };

struct MultiplexSchedulePlan {
  std::vector<StartedJob> jobs;
  std::size_t next_prefill, next_decode;  ///< pass them in again
  MultiplexScheduleStop stop;
};

/// Local, pure, no errors. Source: MuxServe (ICML'24), algorithm 3.
MultiplexSchedulePlan plan_multiplex_schedule(MultiplexScheduleInput const& in);

struct QuotaUse {
  std::int64_t quota_sequences;      ///< as it is
  std::int64_t blocks_per_sequence;  ///< head-wise blocks at the mean length
  double mean_batch;                 ///< of the last decode steps
  std::int64_t demand_sequences;     ///< waiting and running
};

struct QuotaInput {
  std::span<QuotaUse const> models;
};

enum class QuotaStop : std::uint8_t { adapted, no_donor, no_taker };

struct QuotaPlan {
  std::vector<std::int64_t> quota_sequences;  ///< [models]
  std::int64_t left_blocks;                   ///< fragments that make no whole sequence
  QuotaStop stop;
};

/// Models that use less than 90 % of their quota lend to those whose demand is 10 % above their mean batch; the sum of
/// blocks stays. Local, pure, no errors. Source: MuxServe, section on fairness; its code's thresholds.
QuotaPlan plan_quota(QuotaInput const& in);

}  // namespace windlass
