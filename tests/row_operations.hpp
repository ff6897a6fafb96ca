/// All operations on rows, for tests that compare their bits.
#pragma once

#include <algorithm>
#include <vector>

#include "tests/backend_test.hpp"

namespace windlass::testing_data {

inline std::vector<float> row_of(Output const& output, int row, int columns) {
  return {&output.at(row, 0), &output.at(row, 0) + columns};
}

/// Every operation on rows, computed for rows [first, first + count) of its data.
class RowOperations {
 public:
  static constexpr int tokens = 37, width = 1000;

  RowOperations(Operations const& backend, Queue const& queue, int first, int count)
      : backend_(backend), queue_(queue), first_(first), count_(count) {}

  /// What row i became, of all operations.
  std::vector<float> row(int i) const {
    std::vector<float> values = scalars_[std::size_t(i)];
    for (Output const& output : outputs_) {
      auto const part = row_of(output, i, width);
      values.insert(values.end(), part.begin(), part.end());
    }
    return values;
  }

  void run() {
    scalars_.resize(std::size_t(count_));
    for (Accumulate accumulate : {Accumulate::store, Accumulate::add_to_y}) norm(accumulate);
    for (GateFunction gate : {GateFunction::silu, GateFunction::gelu_tanh}) activate(gate);
    for (float soft_cap : {0.0f, 20.0f}) normalize(soft_cap);
    for (auto normalization : {RouterNormalization::softmax_all, RouterNormalization::softmax_chosen})
      route(normalization);
    gather_and_combine();
    embed();
  }

 private:
  float const* rows() const { return x_.data() + first_ * 2 * width; }  // [count, 2 * width]

  Output& copy_of_rows() {
    Output& output = outputs_.emplace_back(count_, width);
    for (int t = 0; t < count_; ++t) std::copy_n(rows() + t * 2 * width, width, &output.at(t, 0));
    return output;
  }

  void norm(Accumulate accumulate) {
    Output& y = copy_of_rows();
    backend_.rms_norm({.y = y.data(),
                       .x = rows(),
                       .weight = weight_.data(),
                       .y_stride = y.stride(),
                       .x_stride = 2 * width,
                       .tokens = count_,
                       .hidden = width,
                       .eps = 1e-5f,
                       .accumulate = accumulate},
                      queue_);
  }

  void activate(GateFunction gate) {
    Output& y = outputs_.emplace_back(count_, width);
    backend_.gated_activation({.y = y.data(),
                               .x = rows(),
                               .y_stride = y.stride(),
                               .x_stride = 2 * width,
                               .up_offset = width,
                               .tokens = count_,
                               .width = width,
                               .gate = gate},
                              queue_);
  }

  void normalize(float soft_cap) {
    Output& logits = copy_of_rows();
    AlignedArray<float> normalizers(static_cast<std::size_t>(count_));
    backend_.log_normalizer({.normalizer = normalizers.data(),
                             .x = logits.data(),
                             .stride = logits.stride(),
                             .rows = count_,
                             .vocab = width,
                             .soft_cap = soft_cap},
                            queue_);
    for (std::size_t t = 0; t < normalizers.size(); ++t) scalars_[t].push_back(normalizers[t]);
  }

  void route(RouterNormalization normalization) {
    constexpr std::size_t chosen = 8;
    AlignedArray<int> experts(std::size_t(count_) * chosen);
    AlignedArray<float> weights(experts.size());
    backend_.route_experts({.experts = experts.data(),
                            .weights = weights.data(),
                            .logits = rows(),
                            .stride = 2 * width,
                            .tokens = count_,
                            .num_experts = 128,
                            .chosen = chosen,
                            .normalization = normalization},
                           queue_);
    for (std::size_t i = 0; i < experts.size(); ++i) {
      scalars_[i / chosen].push_back(float(experts[i]));
      scalars_[i / chosen].push_back(weights[i]);
    }
  }

  /// Row i of the output is row -i of x, then with a share of row i added.
  void gather_and_combine() {
    Output& y = outputs_.emplace_back(count_, width);
    std::vector<int> sources, targets;
    for (int t = 0; t < count_; ++t) sources.push_back(tokens - 1 - first_ - t), targets.push_back(t);
    backend_.gather_rows({.y = y.data(),
                          .x = x_.data(),
                          .y_stride = y.stride(),
                          .x_stride = 2 * width,
                          .rows = sources.data(),
                          .count = count_,
                          .width = width},
                         queue_);
    backend_.combine_expert({.y = y.data(),
                             .x = rows(),
                             .y_stride = y.stride(),
                             .x_stride = 2 * width,
                             .rows = targets.data(),
                             .weights = weight_.data() + first_,
                             .count = count_,
                             .width = width},
                            queue_);
  }

  void embed() {
    Output& y = outputs_.emplace_back(count_, width);
    std::fill_n(y.data(), count_ * y.stride(), 0.0f);  // the table is narrower
    std::vector<TokenId> ids;
    for (int t = first_; t < first_ + count_; ++t) ids.push_back(TokenId(std::uint32_t(t * 7 % table_.rows)));
    backend_.embedding({.y = y.data(), .y_stride = y.stride(), .table = &table_, .tokens = ids, .scale = 3}, queue_);
  }

  Operations const& backend_;
  Queue const& queue_;
  int first_, count_;
  Random random_{2};
  AlignedArray<float> x_ = normal_array(random_, tokens * 2 * width), weight_ = normal_array(random_, width);
  PackedMatrix table_ = random_matrix({WeightFormat::q4_min, ScaleType::f16, group_size, 50, 576}, random_);
  std::vector<Output> outputs_;
  std::vector<std::vector<float>> scalars_;  // [count]: results that are no rows of `width`
};

}  // namespace windlass::testing_data
