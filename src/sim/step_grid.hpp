/// Measured step times over two sizes, linear in between.
#pragma once

#include <vector>

namespace windlass {

/// One measurement: `ms` of a step with `count` prompts or sequences of `tokens` each.
struct GridSample {
  double count, tokens, ms;
};

/// Linear between neighbouring lengths of one count, then between counts. Beyond the measured lengths the outermost
/// line goes on, as long as times do not fall; beyond the largest count times grow with the count.
class StepGrid {
 public:
  /// At least one sample; throws InputError otherwise, or where a time or a size is not above 0.
  explicit StepGrid(std::vector<GridSample> samples);

  double at(double count, double tokens) const;  ///< ms

 private:
  struct Row {
    double count;
    std::vector<double> tokens, ms;
    double at(double length) const;
  };
  std::vector<Row> rows_;  ///< by ascending count
};

}  // namespace windlass
