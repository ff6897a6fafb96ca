/// Splitwise's latency model: measured medians over the tokens of a batch, linear in between.
#pragma once

#include <vector>

#include "src/sim/latency.hpp"

namespace windlass {

/// Time over the tokens of a batch, by ascending tokens. Beyond either end the outermost line goes on.
struct StepCurve {
  std::vector<double> tokens, ms;
  double at(double batch_tokens) const;
};

/// A batch of prompts runs on the prompt curve at its prompt tokens, one of sequences on the token curve at its
/// number of sequences (decode time hardly depends on the context there), a mixed one `mixed_factor` times the prompt
/// curve at the sum. Source: Splitwise (ISCA'24), section V and its simulator.
class TableLatency final : public LatencyModel {
 public:
  TableLatency(StepCurve prompt, StepCurve token, double mixed_factor = 1.1);
  Microseconds step_us(StepWork const& work, int stage) const override;

  double prompt_ms(double tokens) const { return prompt_.at(tokens); }
  double token_ms(double sequences) const { return token_.at(sequences); }

 private:
  StepCurve prompt_, token_;
  double mixed_factor_;
};

}  // namespace windlass
