/// How many instances prefill and how many decode (P/D-Serve's ratio), and when that should change.
#pragma once

#include <cstdint>

namespace windlass {

/// One instance of each role, profiled. Capacity is slots over the time a request holds one.
struct PhaseProfile {
  double prefill_ms, prefill_slots;  ///< T_p, b_p
  double decode_ms, decode_slots;    ///< T_d = TPOT * expected output tokens, b_d
  double prefill_per_s() const { return 1000 * prefill_slots / prefill_ms; }
  double decode_per_s() const { return 1000 * decode_slots / decode_ms; }
};

struct RoleRatioInput {
  PhaseProfile profile;
  int instances;
};

enum class RoleRatioStop : std::uint8_t { prefill_limits, decode_limits, too_few_instances };

struct RoleRatioPlan {
  int prefill, decode;
  double requests_per_s;      ///< the lesser of both capacities
  double prefill_per_decode;  ///< n_p / n_d at balance
  RoleRatioStop stop;
};

/// Requests/s of a split: min(n_p b_p / T_p, n_d b_d / T_d).
double split_rate(PhaseProfile const& profile, int prefill, int decode);

/// The integer split of the instances with the highest rate; more decode instances among equals. At least one of each.
/// Local, pure, no errors. Source: P/D-Serve, section on the ratio.
RoleRatioPlan plan_role_ratio(RoleRatioInput const& in);

struct RoleAdjustmentInput {
  PhaseProfile profile;                    ///< fresh
  int prefill, decode;                     ///< as they are
  double e2e_ms, baseline_e2e_ms;          ///< windowed means
  double ttft_share, baseline_ttft_share;  ///< TTFT over end-to-end time
  double hysteresis = 0.1;
};

enum class RoleAdjustmentStop : std::uint8_t { steady, prefill_is_short, decode_is_short, nothing_to_move };

struct RoleAdjustmentPlan {
  int to_prefill;  ///< instances that change from decode to prefill; negative the other way
  RoleAdjustmentStop stop;
};

/// Moves one instance towards the phase that got slower, once the end-to-end time has grown beyond the hysteresis and
/// the new split serves no less by the formula (towards the other phase where only that serves more); each role keeps
/// one. Local, pure, no errors. Source: P/D-Serve.
RoleAdjustmentPlan plan_role_adjustment(RoleAdjustmentInput const& in);

}  // namespace windlass
