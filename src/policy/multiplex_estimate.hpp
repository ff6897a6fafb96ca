/// What several models that share the GPUs of one mesh can serve (MuxServe's estimator).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace windlass {

/// One measurement: seconds of a step at a batch size and a length. Negative: not measured.
struct MultiplexSample {
  int batch, tokens;
  double prefill_s, decode_s;
};

/// Time over the batch size, at one SM share and one mean length.
struct BatchCurve {
  std::vector<double> batch, seconds;
};

/// Measurements of one model, by number of GPUs and SM share (percent).
using MultiplexProfile = std::map<int, std::map<int, std::vector<MultiplexSample>>>;

struct MultiplexModel {
  MultiplexProfile const* profile;  ///< outlives the planning
  int billions;                     ///< parameters: 7, 13, 30, 65
  double rate;                      ///< requests/s
  double kv_gib_per_token;
  double prompt_tokens = 161, output_tokens = 337;  ///< means

  double weights_gb() const { return 2.0 * billions; }
  int least_gpus() const { return billions >= 65 ? 4 : billions >= 30 ? 2 : 1; }
  /// What scheduling adds to a decode step for each sequence, as MuxServe's authors measured it.
  double overhead_us_per_sequence() const { return billions <= 7 ? 100 : billions <= 13 ? 80 : 70; }
  int size_scale() const { return billions >= 65 ? 8 : billions >= 30 ? 4 : billions >= 13 ? 2 : 1; }
};

struct SoloEstimate {
  int sm_percent;  ///< of decoding; 0: the model does not run on so many GPUs
  int batch;
  double throughput;  ///< requests/s, at most the rate
};

constexpr double gpu_gb = 80;  ///< memory of one GPU
constexpr int prefill_sm_percent = 100;

/// The least SM share with which the model alone keeps up with its rate; else the one with the highest throughput.
/// `cache_share` of the memory holds KV. Local, pure, no errors. Source: MuxServe (ICML'24), its planner.
SoloEstimate estimate_solo(MultiplexModel const& model, int gpus, double cache_share);

struct MeshMember {
  MultiplexModel const* model;
  int sm_percent;  ///< of decoding
};

/// Rate-weighted mean throughput (requests/s) of the members: prefills take turns, decodes overlap, batches grow while
/// somebody lags behind its rate. Local, pure, no errors.
double estimate_mesh(std::span<MeshMember const> members, int gpus);

}  // namespace windlass
