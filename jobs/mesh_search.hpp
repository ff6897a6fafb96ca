/// The search of `windlass plan` for several models: shared meshes, the same meshes in turns, or GPUs of their own.
#pragma once

#include <string>
#include <vector>

#include "jobs/scenario.hpp"

namespace windlass {

struct SharedModel {
  std::string name;
  double share;  ///< of all requests
  ModelShape shape;
};

struct MeshProblem {
  std::vector<SharedModel> models;
  DeviceLimits device;
  int nodes, gpus_per_node;
  WorkloadSource workload;  ///< requests of all models, by their number
  ServiceLevel level;
  double target;
  TokenLengths mean_lengths;
};

/// GPUs of one node and the models on them.
struct NamedMesh {
  int gpus;
  std::vector<std::string> models;
};

struct RankedMeshes {
  std::string kind;  ///< "multiplexed", "in turns", "alone"
  std::vector<NamedMesh> meshes;
  double goodput_per_s = 0;           ///< of all models together, within the levels
  double ttft_use = 0, tpot_use = 0;  ///< P90 over the limit, at the goodput
  std::string limit;                  ///< what breaks first beyond it
};

/// Whether a problem file has "models" instead of "model". Throws FileError or InputError.
bool names_several_models(std::string const& path);

/// Throws FileError, or InputError that names file, line, field and what is allowed.
MeshProblem read_mesh_problem(std::string const& path);

/// The best first; step times are the roofline's at shares of the SMs. A placement that fits nowhere has goodput 0.
std::vector<RankedMeshes> search_meshes(MeshProblem const& problem);

/// The table, the advice, and the job that serves each model on GPUs of its own.
std::string mesh_table(MeshProblem const& problem, std::vector<RankedMeshes> const& layouts);

}  // namespace windlass
