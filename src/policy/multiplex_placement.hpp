/// Which models share which GPUs (MuxServe's enumeration-based greedy placement).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/policy/multiplex_estimate.hpp"

namespace windlass {

/// What the gain of placing a model on a mesh is.
enum class MultiplexGain : std::uint8_t {
  published,     ///< as MuxServe's code: a mesh's value is kept by its place in a list that is sorted again and again
  mean,          ///< growth of the mesh's rate-weighted mean throughput
  weighted_sum,  ///< growth of the sum of rate times throughput: the objective itself
};

struct MultiplexPlacementInput {
  std::span<MultiplexModel const> models;
  int nodes;
  int gpus_per_node = 8;  ///< 1, 2, 4 or 8
  MultiplexGain gain = MultiplexGain::weighted_sum;
};

struct PlacedModel {
  std::size_t model;  ///< index into `models`
  int sm_percent;     ///< of decoding
};

struct PlacedMesh {
  int gpus;
  std::vector<PlacedModel> models;
};

enum class MultiplexPlacementStop : std::uint8_t { found, nothing_fits };

struct MultiplexPlacementPlan {
  std::vector<PlacedMesh> meshes;  ///< largest first
  double objective;                ///< sum of rate * mesh throughput over the sum of rates
  MultiplexPlacementStop stop;
};

/// Tries every multiset of node splits and places the models by descending load, each where it gains most. Meshes lie
/// inside a node. Local, pure, no errors. Source: MuxServe (ICML'24), algorithms 1 and 2.
MultiplexPlacementPlan plan_multiplex_placement(MultiplexPlacementInput const& in);

}  // namespace windlass
