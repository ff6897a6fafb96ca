/// What a job does with the rest of its allocation: planned backwards from its end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/core/clock.hpp"

namespace windlass {

struct WalltimeInput {
  Microseconds now_us = 0;
  Microseconds end_us = never_us;        ///< when the job is killed; never_us: nobody knows of an end
  Microseconds leave_us = 0;             ///< that the program needs behind its last write
  Microseconds last_step_us = never_us;  ///< running requests may go on until then, whatever the end is
  Microseconds save_us = 0;              ///< that writing the running requests' progress would take
  Microseconds finish_us = 0;            ///< that running requests are given to finish once no more are admitted
  bool drain_wanted = false;             ///< somebody asked for an end
};

enum class WalltimePhase : std::uint8_t {
  admit,   ///< work goes on
  finish,  ///< no new request starts; running ones go on until stop_us
  stop     ///< what is not finished is saved or left, now
};

struct WalltimePlan {
  WalltimePhase phase = WalltimePhase::admit;
  Microseconds stop_us = never_us;  ///< when the last step must be over
};

/// Steps end where leaving and saving still fit before the end; new requests end `finish_us` earlier, or when a drain
/// is wanted. Pure.
WalltimePlan plan_walltime(WalltimeInput const& in);

/// A request in progress at the end of the job.
struct UnfinishedWork {
  std::int64_t computed_tokens = 0;  ///< whose KV must be computed again if it is not saved
  std::uint64_t new_bytes = 0;       ///< of its KV that are not on disk yet
  std::uint64_t bytes = 0;           ///< of all its KV: read back by the next run
};

struct SaveInput {
  std::span<UnfinishedWork const> work;
  Microseconds time_us = never_us;       ///< for writing
  double write_bytes_per_us = 0;         ///< 0: not known, taken as fast enough
  double read_bytes_per_us = 0;          ///< the same
  double compute_tokens_per_us = 0;      ///< of prompts; 0: not known, taken as dearer than any write
  Microseconds worthwhile_us = 100'000;  ///< a request is computed again only where that wins so much
};

enum class SaveChoice : std::uint8_t {
  save,
  recompute_is_cheaper,  ///< than writing and reading, by something worthwhile
  no_time                ///< before the end; those that save the most time per byte went first
};

struct SavePlan {
  std::vector<SaveChoice> choices;  ///< [work]
  Microseconds write_us = 0;        ///< of what is saved
};

/// Per request the cheaper of saving and computing again, as far as the time lasts. Pure.
SavePlan plan_save(SaveInput const& in);

/// Whether an allocation that ends with work left shall be followed by another.
struct RequeueInput {
  int without_progress = 0;  ///< allocations in a row, this one included, in which nothing got further
  int most_without_progress = 3;
};
enum class RequeueChoice : std::uint8_t { requeue, no_progress };
RequeueChoice plan_requeue(RequeueInput const& in);

}  // namespace windlass
