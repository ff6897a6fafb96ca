#include "src/sim/step_grid.hpp"

#include <algorithm>
#include <tuple>

#include "src/core/error.hpp"

namespace windlass {

StepGrid::StepGrid(std::vector<GridSample> samples) {
  if (samples.empty()) throw InputError("a grid of step times needs at least one measurement");
  std::sort(samples.begin(), samples.end(), [](GridSample const& a, GridSample const& b) {
    return std::tuple(a.count, a.tokens) < std::tuple(b.count, b.tokens);
  });
  for (GridSample const& sample : samples) {
    if (!(sample.count > 0 && sample.tokens > 0 && sample.ms > 0))
      throw InputError("a grid of step times holds a count, a length or a time that is not above 0");
    if (rows_.empty() || rows_.back().count < sample.count) rows_.push_back({sample.count, {}, {}});
    rows_.back().tokens.push_back(sample.tokens);
    rows_.back().ms.push_back(sample.ms);
  }
}

double StepGrid::Row::at(double length) const {
  if (tokens.size() == 1) return ms[0];
  auto const above = std::upper_bound(tokens.begin() + 1, tokens.end() - 1, length);
  auto const i = std::size_t(above - tokens.begin());
  double const slope = (ms[i] - ms[i - 1]) / (tokens[i] - tokens[i - 1]);
  bool const outside = length < tokens.front() || length > tokens.back();
  double const nearest = length < tokens.front() ? ms.front() : ms.back();
  if (outside && slope <= 0) return nearest;
  return std::max(ms[i - 1] + slope * (length - tokens[i - 1]), 0.2 * ms.front());
}

double StepGrid::at(double count, double tokens) const {
  auto const above = std::lower_bound(rows_.begin(), rows_.end(), count,
                                      [](Row const& row, double wanted) { return row.count < wanted; });
  if (above == rows_.begin()) return above->at(tokens);
  if (above == rows_.end()) return rows_.back().at(tokens) * count / rows_.back().count;
  Row const& below = *(above - 1);
  double const low = below.at(tokens), high = above->at(tokens);
  return low + (high - low) * (count - below.count) / (above->count - below.count);
}

}  // namespace windlass
