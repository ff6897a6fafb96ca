/// A scenario of `windlass simulate`: clusters, what arrives, and the service levels (inputs/README.md).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "jobs/json_fields.hpp"
#include "src/sim/cache_cluster.hpp"
#include "src/sim/distserve.hpp"
#include "src/sim/elastic_cluster.hpp"
#include "src/sim/machine_cluster.hpp"
#include "src/sim/mesh_cluster.hpp"
#include "src/sim/pipeline_cluster.hpp"
#include "src/sim/roofline_latency.hpp"
#include "src/sim/shared_prefix.hpp"
#include "src/sim/table_latency.hpp"

namespace windlass {

using SimCluster =
    std::variant<PipelineCluster, MachineCluster, CacheCluster, ElasticCluster, SharedPrefixCluster, MeshCluster>;

/// What counts as served.
struct ServiceGoal {
  ServiceLevel level;
  double share = 0.9;  ///< of the requests that must meet `level`
  AttainmentRule rule = AttainmentRule::joint;
  double normalised_ms = 0;  ///< above 0: the mean of E2E over all tokens must stay below instead, nobody rejected
  std::shared_ptr<TableLatency const> unloaded_table;  ///< not null: Splitwise's nine slowdowns against it instead
};
bool meets(ServiceGoal const& goal, std::vector<RequestOutcome> const& outcomes);

/// Watts of a device that waits, prefills or decodes.
struct DevicePower {
  double idle_w, prefill_w, decode_w;
};

struct ScenarioCluster {
  std::string name;
  SimCluster cluster;
  int devices;                       ///< GPUs, or whatever the file says: what goodput is divided by
  std::optional<DevicePower> power;  ///< of one device
  double cost_per_hour = 0;          ///< of one device, in any currency; 0: not known
};

/// Where the highest rate that meets the goal is looked for, in requests/s for each device.
struct GoodputRange {
  double low, high, tolerance;
  int seeds = 1;  ///< searches with other seeds of the workload; their mean counts
};

using WorkloadSource = std::function<Workload(double rate_per_s)>;

struct Scenario {
  std::string path, name;
  std::vector<ScenarioCluster> clusters;  ///< the last is what the others are compared with
  double rate_per_s;                      ///< of the file; a trace is sped up or slowed down to it; 0: its own
  ServiceGoal goal;
  std::optional<GoodputRange> search;
  WorkloadSource workload;
  std::vector<WorkloadSource> other_seeds;  ///< the same workload drawn again; GoodputRange::seeds - 1
};

/// Throws FileError, or InputError that names file, line, field and what is allowed.
Scenario read_scenario(std::string const& path);

// Parts of a file, shared with `windlass plan`.
WorkloadSource read_workload(JsonFields const& fields, std::uint64_t seed_offset = 0);
ServiceGoal read_service_goal(JsonFields const& fields);
ModelShape read_model_shape(JsonFields const& fields);
DeviceLimits read_device_limits(JsonFields const& fields);

/// Rates of models by popularity: max_rate * (place + 1)^-exponent. Source: MuxServe's synthetic workloads.
std::vector<double> popularity_rates(std::int64_t models, double exponent, double max_rate);

/// Models on meshes that they share, by MuxServe's placement, or alone on fixed numbers of GPUs.
SimCluster read_meshes(JsonFields const& fields, ServiceGoal const& goal);

/// `fields` may also hold a name and devices. `goal`: some clusters refuse what could not meet it.
ScenarioCluster read_cluster(JsonFields const& fields, ServiceGoal const& goal);

}  // namespace windlass
