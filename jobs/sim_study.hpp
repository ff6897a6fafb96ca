/// Many runs of one scenario: over rates, or in search of the highest rate that meets the goal.
#pragma once

#include <string>
#include <vector>

#include "jobs/sim_report.hpp"

namespace windlass {

/// "rate=1:40:0.5" as 1, 1.5, … 40. Throws InputError.
std::vector<double> parse_sweep(std::string const& sweep);

/// Every cluster at every rate; `jobs` runs at the same time. What is found does not depend on `jobs`.
std::vector<ClusterFigures> sweep_rates(Scenario const& scenario, std::vector<double> const& rates, int jobs);

/// The highest rate of every cluster within `scenario.search`, and the run there.
std::vector<ClusterFigures> search_goodputs(Scenario const& scenario, int jobs);

}  // namespace windlass
