/// The search of `windlass plan`: which layout of instances serves the most requests per device.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "jobs/scenario.hpp"
#include "src/policy/placement.hpp"
#include "src/sim/measured_latency.hpp"

namespace windlass {

struct LayoutProblem {
  ModelShape model;
  DeviceLimits device;
  int nodes, gpus_per_node;
  std::function<Workload(double rate_per_s)> workload;
  ServiceLevel level;
  double target;
  /// Steps of one device that were measured (windlass bench --profile): only layouts of single devices are tried then.
  std::optional<MeasuredProfile> measured{};
};

enum class LayoutKind : std::uint8_t {
  colocated,     ///< whole prompts before decodes
  chunked,       ///< prompts in chunks beside decodes
  pair_in_node,  ///< disaggregated, low affinity
  apart,         ///< disaggregated, high affinity
  elastic        ///< LoongServe's groups that grow and shrink
};

struct RankedLayout {
  LayoutKind kind;
  ParallelDegree prefill, decode;                   ///< colocated, chunked, elastic: both the same
  int pp_cross = 1;                                 ///< nodes that a pair of instances spans
  int prefill_instances = 1, decode_instances = 1;  ///< of one unit; elastic: instances of the group
  int gpus = 1;                                     ///< of one unit
  int units = 1;                                    ///< that the cluster holds
  double goodput_per_gpu = 0;                       ///< requests/s within the levels
  double ttft_use = 0, tpot_use = 0;                ///< P90 over the limit, at the goodput
  std::string limit{};                              ///< what breaks first beyond it: "TTFT" or "TPOT"
  std::string cause{};                              ///< why, in words; empty: not known
};

/// Colocated degrees with whole and with cut prompts, prefill-decode pairs inside nodes, both phases apart on any
/// nodes, and elastic groups; the best first. Simulates every candidate with the roofline model. Layouts that meet the
/// levels at no rate are left out.
std::vector<RankedLayout> search_layouts(LayoutProblem const& problem);

}  // namespace windlass
