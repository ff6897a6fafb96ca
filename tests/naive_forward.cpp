#include "tests/naive_forward.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace windlass {
namespace {

using Row = std::vector<double>;

Row values_of(PackedMatrix const& m) {
  Row out(std::size_t(m.rows) * std::size_t(m.columns));
  for (int r = 0; r < m.rows; ++r)
    for (int c = 0; c < m.columns; ++c)
      out[std::size_t(r) * std::size_t(m.columns) + std::size_t(c)] = weight_at(m, r, c);
  return out;
}

/// A matrix with its values unpacked once.
struct Matrix {
  explicit Matrix(PackedMatrix const& m)
      : rows(std::size_t(m.rows)), columns(std::size_t(m.columns)), values(values_of(m)) {}
  Row times(Row const& x) const {
    Row y(rows);
    for (std::size_t r = 0; r < rows; ++r)
      y[r] = std::inner_product(x.begin(), x.begin() + std::ptrdiff_t(columns),
                                values.begin() + std::ptrdiff_t(r * columns), 0.0);
    return y;
  }
  std::size_t rows, columns;
  Row values;
};

void norm_in_place(double* x, std::vector<float> const& weight, double eps) {
  double squares = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) squares += x[i] * x[i];
  double const scale = 1 / std::sqrt(squares / double(weight.size()) + eps);
  for (std::size_t i = 0; i < weight.size(); ++i) x[i] *= scale * double(weight[i]);
}

Row normed(Row x, std::vector<float> const& weight, double eps) {
  if (!weight.empty()) norm_in_place(x.data(), weight, eps);
  return x;
}

void add(Row& x, Row const& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

void rotate(double* head, RopeSpec const& rope, std::vector<double> const& frequency, int position) {
  auto const half = std::size_t(rope.rotary_dim / 2);
  for (std::size_t i = 0; i < half; ++i) {
    double const cos = std::cos(position * frequency[i]) * rope.attention_factor;
    double const sin = std::sin(position * frequency[i]) * rope.attention_factor;
    double const a = head[i], b = head[i + half];
    head[i] = a * cos - b * sin;
    head[i + half] = b * cos + a * sin;
  }
}

double capped(double x, double cap) { return cap > 0 ? cap * std::tanh(x / cap) : x; }

class Forward {
 public:
  Forward(ModelSpec const& spec, Weights const& weights, int max_model_len)
      : spec_(spec), weights_(weights), max_model_len_(max_model_len) {}

  Row last_logits(std::vector<TokenId> const& tokens) {
    std::vector<Row> x;
    for (TokenId const token : tokens) x.push_back(embedded(token));
    for (std::size_t l = 0; l < spec_.layers.size(); ++l) {
      LayerWeights const& w = weights_.layers[l];
      std::vector<Row> const mixed = attention(l, x);
      for (std::size_t t = 0; t < x.size(); ++t) {
        add(x[t], normed(mixed[t], w.post_attention_norm, spec_.norm_eps));
      }
      feed_forward_all(l, x);
    }
    Row logits = Matrix(weights_.head).times(normed(x.back(), weights_.final_norm, spec_.norm_eps));
    for (double& logit : logits) logit = capped(logit, spec_.logit_soft_cap);
    return logits;
  }

 private:
  Row embedded(TokenId token) const {
    Row x(std::size_t(spec_.hidden));
    for (int i = 0; i < spec_.hidden; ++i)
      x[std::size_t(i)] = spec_.embedding_scale * double(weight_at(weights_.embedding, int(number(token)), i));
    return x;
  }

  /// q, k and v of one position: biased, normed, rotated.
  Row qkv_at(std::size_t l, Matrix const& matrix, Row const& x, int position) const {
    LayerWeights const& w = weights_.layers[l];
    Row qkv = matrix.times(normed(x, w.attention_norm, spec_.norm_eps));
    for (std::size_t i = 0; i < qkv.size() && !w.qkv_bias.empty(); ++i) qkv[i] += double(w.qkv_bias[i]);
    RopeSpec const& rope = spec_.ropes[std::size_t(spec_.layers[l].rope)];
    bool const is_long = !rope.long_inverse_frequency.empty() && max_model_len_ > rope.long_from;
    for (int head = 0; head < spec_.heads + spec_.kv_heads; ++head) {
      double* const at = qkv.data() + head * spec_.head_dim;
      std::vector<float> const& norm = head < spec_.heads ? w.q_norm : w.k_norm;
      if (!norm.empty()) norm_in_place(at, norm, spec_.norm_eps);
      rotate(at, rope, is_long ? rope.long_inverse_frequency : rope.inverse_frequency, position);
    }
    return qkv;
  }

  /// One head's mixture of values for the last position of `qkv[0..t]`.
  void mix_head(std::vector<Row> const& qkv, std::size_t t, int head, int window, double* out) const {
    auto const dim = std::size_t(spec_.head_dim);
    int const kv_head = head / (spec_.heads / spec_.kv_heads);
    std::size_t const first = window > 0 && t + 1 > std::size_t(window) ? t + 1 - std::size_t(window) : 0;
    double const* const q = qkv[t].data() + std::size_t(head) * dim;
    Row score;
    for (std::size_t j = first; j <= t; ++j) {
      double const* const k = qkv[j].data() + std::size_t(spec_.heads + kv_head) * dim;
      score.push_back(capped(spec_.attention_scale * std::inner_product(q, q + dim, k, 0.0), spec_.attention_soft_cap));
    }
    double const largest = *std::max_element(score.begin(), score.end());
    double sum = 0;
    for (double& s : score) sum += s = std::exp(s - largest);
    for (std::size_t j = first; j <= t; ++j) {
      double const* const v = qkv[j].data() + std::size_t(spec_.heads + spec_.kv_heads + kv_head) * dim;
      for (std::size_t i = 0; i < dim; ++i) out[i] += score[j - first] / sum * v[i];
    }
  }

  std::vector<Row> attention(std::size_t l, std::vector<Row> const& x) const {
    LayerWeights const& w = weights_.layers[l];
    Matrix const in(w.qkv), output(w.output);
    std::vector<Row> qkv, out;
    for (std::size_t t = 0; t < x.size(); ++t) qkv.push_back(qkv_at(l, in, x[t], int(t)));
    for (std::size_t t = 0; t < x.size(); ++t) {
      Row mixed(std::size_t(spec_.heads * spec_.head_dim));
      for (int head = 0; head < spec_.heads; ++head)
        mix_head(qkv, t, head, spec_.layers[l].window, mixed.data() + head * spec_.head_dim);
      out.push_back(output.times(mixed));
      for (std::size_t i = 0; i < out[t].size() && !w.output_bias.empty(); ++i) out[t][i] += double(w.output_bias[i]);
    }
    return out;
  }

  double gate(double z) const {
    if (spec_.gate == GateFunction::silu) return z / (1 + std::exp(-z));
    return 0.5 * z * (1 + std::tanh(std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
  }

  Row gated(Matrix const& gate_up, Matrix const& down, Row const& x) const {
    Row const both = gate_up.times(x);
    Row inner(down.columns);
    std::size_t const up = gate_up.rows - down.columns;  // the gate rows are filled up to whole panels
    for (std::size_t i = 0; i < inner.size(); ++i) inner[i] = gate(both[i]) * both[up + i];
    return down.times(inner);
  }

  Row routed(std::vector<std::pair<Matrix, Matrix>> const& experts, Matrix const& router, Row const& x) const {
    Row const logits = router.times(x);
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    auto const chosen = std::size_t(spec_.experts_per_token);
    bool const all = spec_.router_normalization == RouterNormalization::softmax_all;
    double sum = 0;
    for (std::size_t i = 0; i < (all ? order.size() : chosen); ++i)
      sum += std::exp(logits[order[i]] - logits[order[0]]);
    Row out(std::size_t(spec_.hidden));
    for (std::size_t i = 0; i < chosen; ++i) {
      Row part = gated(experts[order[i]].first, experts[order[i]].second, x);
      for (double& value : part) value *= std::exp(logits[order[i]] - logits[order[0]]) / sum;
      add(out, part);
    }
    return out;
  }

  void feed_forward_all(std::size_t l, std::vector<Row>& x) const {
    LayerWeights const& w = weights_.layers[l];
    std::vector<std::pair<Matrix, Matrix>> networks;
    if (!spec_.layers[l].moe) networks.emplace_back(w.dense.gate_up, w.dense.down);
    for (FeedForward const& expert : w.experts) networks.emplace_back(expert.gate_up, expert.down);
    Matrix const router(w.router);
    for (Row& row : x) {
      Row const in = normed(row, w.ffn_norm, spec_.norm_eps);
      Row const out =
          spec_.layers[l].moe ? routed(networks, router, in) : gated(networks[0].first, networks[0].second, in);
      add(row, normed(out, w.post_ffn_norm, spec_.norm_eps));
    }
  }

  ModelSpec const& spec_;
  Weights const& weights_;
  int max_model_len_;
};

}  // namespace

std::vector<double> naive_last_logits(ModelSpec const& spec, Weights const& weights, std::vector<TokenId> const& tokens,
                                      int max_model_len) {
  return Forward(spec, weights, max_model_len).last_logits(tokens);
}

}  // namespace windlass
