/// Steps of a real engine on a real machine, measured on a grid (windlass bench --profile), and times in between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "src/sim/latency.hpp"
#include "src/sim/step_grid.hpp"

namespace windlass {

/// What `windlass bench` writes and simulations read. Times are of whole steps, in ms.
struct MeasuredProfile {
  std::string model, machine;       ///< words for reports
  std::int64_t chunk_tokens = 512;  ///< prompt tokens of one step, at most
  std::int64_t max_sequences = 64;  ///< that ran at once
  std::int64_t kv_tokens = 0;       ///< that the pool held
  std::vector<GridSample> prefill;  ///< first chunks of one prompt: `tokens` of them, count 1
  double ms_per_pair = 0;           ///< of a later chunk, for every pair of a token and one before the chunk
  std::vector<GridSample> decode;   ///< `count` sequences, `tokens` of context each
  std::vector<GridSample> beside;   ///< what `count` short sequences add to the step of a chunk; tokens 1
  double read_gb_per_s = 0;         ///< of the machine's memory, measured at the same time
  double gflops = 0;                ///< float32 multiply-adds at best, measured at the same time; 0: not known
};

/// A chunk costs its first-chunk time and its pairs with earlier tokens. Sequences cost what was measured for as many
/// short ones, alone or beside a chunk, and what longer contexts add, from the counts that were measured at long ones.
class MeasuredLatency final : public LatencyModel {
 public:
  /// Throws InputError where the profile has no samples of a phase.
  explicit MeasuredLatency(MeasuredProfile const& profile);
  Microseconds step_us(StepWork const& work, int stage) const override;

 private:
  double prefill_ms(StepWork const& work) const;
  double context_ms(double count, double context) const;

  StepGrid prefill_, short_decode_, long_decode_, beside_;
  double ms_per_pair_, shortest_context_;
};

}  // namespace windlass
