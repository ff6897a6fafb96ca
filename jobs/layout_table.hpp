/// From the map of a job's hosts to a plan of its instances, and its table.
#pragma once

#include <string>

#include "mpi/job_map.hpp"
#include "src/policy/layout_plan.hpp"
#include "src/policy/plan_log.hpp"

namespace windlass {

/// What the model asks of a layout; the defaults where no model is known.
struct LayoutNeeds {
  Objective objective = Objective::throughput;
  std::uint64_t instance_bytes = 0;  ///< 0: not known
};

/// Throws InputError with the reason where the layout cannot be.
LayoutPlan plan_job_layout(Layout const& wanted, JobMap const& map, LayoutNeeds const& needs);

/// What plan_job_layout() without needs asks, and the answer, for simulate --replay.
void record_layout(PlanLog& log, Layout const& wanted, JobMap const& map);

/// One line per instance (role, degrees, ranks, hosts, peers), spare ranks and controller, and the reasons.
std::string to_text(LayoutPlan const& plan, JobMap const& map);

}  // namespace windlass
