/// What `windlass plan` prints about ranked layouts.
#pragma once

#include <string>
#include <vector>

#include "jobs/layout_search.hpp"

namespace windlass {

/// "colocated", "disaggregated, in nodes" …
char const* kind_name(LayoutKind kind);

/// As --layout takes a layout without pipeline stages: all its units on the cluster's ranks, and the ranks left over.
std::string layout_words(RankedLayout const& layout, LayoutProblem const& problem);

/// The table (the best `rows`, and the best of each kind), whether to disaggregate and why, and the job to submit.
/// `model` is what its --model says. `layouts`: as search_layouts() ranks them, not empty.
std::string layout_report(LayoutProblem const& problem, std::vector<RankedLayout> const& layouts, std::size_t rows,
                          std::string const& model);

}  // namespace windlass
