#include "src/model/weight_loader.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/core/thread_team.hpp"
#include "src/model/tensor_rows.hpp"

namespace windlass {
namespace {

/// `pattern` with {l} and {e} replaced.
std::string filled(std::string pattern, std::size_t layer, std::size_t expert = 0) {
  for (auto const& [mark, number] : {std::pair{"{l}", layer}, std::pair{"{e}", expert}})
    if (std::size_t const at = pattern.find(mark); at != std::string::npos)
      pattern.replace(at, 3, std::to_string(number));
  return pattern;
}

class WeightLoader {
 public:
  WeightLoader(Blueprint const& blueprint, TensorTable const& tensors, Precision precision, ThreadTeam& team)
      : spec_(blueprint.spec),
        names_(blueprint.names),
        finder_(tensors, source_name(tensors)),
        precision_(precision),
        team_(team) {}

  Weights load() {
    Weights weights;
    weights.embedding = matrix(finder_.rows(names_.embedding, {spec_.vocab, spec_.hidden}));
    for (std::size_t l = 0; l < spec_.layers.size(); ++l) weights.layers.push_back(layer(l));
    weights.final_norm = norm(names_.final_norm, spec_.hidden);
    weights.head = head(weights.embedding);
    std::string const& layer_name = names_.layer.attention_norm;
    finder_.check_all_used({.prefix = names_.text_prefix,
                            .layer_prefix = layer_name.substr(0, layer_name.find("{l}")),
                            .layers = std::int64_t(spec_.layers.size())});
    return weights;
  }

 private:
  static std::string source_name(TensorTable const& tensors) {
    return tensors.all().empty() ? "the model" : tensors.all().begin()->second.file->path();
  }

  std::int64_t q_rows() const { return std::int64_t(spec_.heads) * spec_.head_dim; }
  std::int64_t kv_rows() const { return std::int64_t(spec_.kv_heads) * spec_.head_dim; }

  PackedMatrix matrix(RowSource const& source) { return packed(std::span(&source, 1), spec_.hidden); }

  PackedMatrix packed(std::span<RowSource const> sources, std::int64_t columns) {
    return pack(sources, columns, {.precision = precision_}, arena_, team_);
  }

  std::vector<float> norm(std::string const& name, std::int64_t size) {
    if (name.empty()) return {};
    std::vector<float> weights = finder_.vector(name, size);
    if (names_.norms == NormWeights::plus_one)
      for (float& weight : weights) weight += 1.0f;
    return weights;
  }

  /// Where tied, a head that the file has all the same is used if it is there (its values are the embedding's).
  PackedMatrix head(PackedMatrix const& embedding) {
    if (spec_.tied_embeddings) {
      if (finder_.has(names_.head + ".weight")) finder_.get(names_.head + ".weight", {spec_.vocab, spec_.hidden});
      return embedding;
    }
    return matrix(finder_.rows(names_.head, {spec_.vocab, spec_.hidden}));
  }

  LayerWeights layer(std::size_t l) {
    LayerNames const& n = names_.layer;
    LayerWeights w;
    w.attention_norm = norm(filled(n.attention_norm, l), spec_.hidden);
    w.post_attention_norm = norm(filled(n.post_attention_norm, l), spec_.hidden);
    w.ffn_norm = norm(filled(n.ffn_norm, l), spec_.hidden);
    w.post_ffn_norm = norm(filled(n.post_ffn_norm, l), spec_.hidden);
    w.q_norm = norm(filled(n.q_norm, l), spec_.head_dim);
    w.k_norm = norm(filled(n.k_norm, l), spec_.head_dim);
    w.qkv = qkv(l);
    w.qkv_bias = qkv_bias(l, w.qkv);
    RowSource const output = finder_.rows(filled(n.output, l), {spec_.hidden, q_rows()});
    w.output = packed(std::span(&output, 1), q_rows());
    w.output_bias = output_bias(l, w.output);
    if (spec_.layers[l].moe)
      load_experts(l, w);
    else
      w.dense = dense(l);
    return w;
  }

  PackedMatrix qkv(std::size_t l) {
    LayerNames const& n = names_.layer;
    std::vector<RowSource> sources;
    if (!n.qkv.empty()) {
      sources.push_back(finder_.rows(filled(n.qkv, l), {q_rows() + 2 * kv_rows(), spec_.hidden}));
    } else {
      sources.push_back(finder_.rows(filled(n.q, l), {q_rows(), spec_.hidden}));
      sources.push_back(finder_.rows(filled(n.k, l), {kv_rows(), spec_.hidden}));
      sources.push_back(finder_.rows(filled(n.v, l), {kv_rows(), spec_.hidden}));
      if (names_.rope_rows == RopeRows::interleaved)
        sources[0].interleaved_head_dim = sources[1].interleaved_head_dim = spec_.head_dim;
    }
    return packed(sources, spec_.hidden);
  }

  bool wants_bias(BiasExpected expected, std::string const& name) const {
    return expected == BiasExpected::yes || (expected == BiasExpected::if_in_the_file && finder_.has(name + ".bias"));
  }

  /// A head's values in the order of its packed rows.
  std::vector<float> rope_ordered(std::vector<float> const& values) const {
    if (names_.rope_rows == RopeRows::halves) return values;
    std::vector<float> out(values.size());
    std::size_t const dim = std::size_t(spec_.head_dim), half = dim / 2;
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::size_t const within = i % dim;
      out[i] = values[i - within + within % half * 2 + within / half];
    }
    return out;
  }

  std::vector<float> qkv_bias(std::size_t l, PackedMatrix const& matrix) {
    LayerNames const& n = names_.layer;
    std::vector<float> out;
    auto const append = [&](std::vector<float> const& part) { out.insert(out.end(), part.begin(), part.end()); };
    if (!n.qkv.empty()) {
      if (!wants_bias(names_.qkv_bias, filled(n.qkv, l))) return {};
      append(finder_.bias(filled(n.qkv, l), q_rows() + 2 * kv_rows()));
    } else {
      if (!wants_bias(names_.qkv_bias, filled(n.q, l))) return {};
      append(rope_ordered(finder_.bias(filled(n.q, l), q_rows())));
      append(rope_ordered(finder_.bias(filled(n.k, l), kv_rows())));
      append(finder_.bias(filled(n.v, l), kv_rows()));
    }
    out.resize(std::size_t(matrix.panels()) * panel_rows);
    return out;
  }

  std::vector<float> output_bias(std::size_t l, PackedMatrix const& matrix) {
    std::string const name = filled(names_.layer.output, l);
    if (!wants_bias(names_.output_bias, name)) return {};
    std::vector<float> out = finder_.bias(name, spec_.hidden);
    out.resize(std::size_t(matrix.panels()) * panel_rows);
    return out;
  }

  /// Gate rows are filled up to whole panels, so that the up rows start a panel.
  FeedForward feed_forward(RowSource gate, RowSource up, RowSource down) {
    gate.fill_to = panel_rows;
    std::int64_t const width = gate.rows;
    std::vector<RowSource> const both{std::move(gate), std::move(up)};
    return {.gate_up = packed(both, spec_.hidden), .down = packed(std::span(&down, 1), width)};
  }

  FeedForward dense(std::size_t l) {
    LayerNames const& n = names_.layer;
    std::int64_t const width = spec_.ffn;
    RowSource const down = finder_.rows(filled(n.down, l), {spec_.hidden, width});
    if (!n.gate_up.empty()) {
      RowSource const both = finder_.rows(filled(n.gate_up, l), {2 * width, spec_.hidden});
      return feed_forward(part_of(both, 0, width), part_of(both, width, width), down);
    }
    return feed_forward(finder_.rows(filled(n.gate, l), {width, spec_.hidden}),
                        finder_.rows(filled(n.up, l), {width, spec_.hidden}), down);
  }

  RowSource expert_rows(std::string const& pattern, std::size_t l, std::size_t expert, MatrixShape shape) {
    std::string const name = filled(pattern, l, expert);
    if (pattern.find("{e}") != std::string::npos) return finder_.rows(name, shape);
    return finder_.stacked_rows(name, shape, spec_.experts, std::int64_t(expert));
  }

  void load_experts(std::size_t l, LayerWeights& w) {
    LayerNames const& n = names_.layer;
    RowSource const router = finder_.rows(filled(n.router, l), {spec_.experts, spec_.hidden});
    w.router = pack(std::span(&router, 1), spec_.hidden,
                    {.precision = precision_, .floating_format = WeightFormat::f32}, arena_, team_);
    MatrixShape const wide{spec_.expert_ffn, spec_.hidden}, narrow{spec_.hidden, spec_.expert_ffn};
    for (std::size_t e = 0; e < std::size_t(spec_.experts); ++e)
      w.experts.push_back(feed_forward(expert_rows(n.expert_gate, l, e, wide), expert_rows(n.expert_up, l, e, wide),
                                       expert_rows(n.expert_down, l, e, narrow)));
  }

  ModelSpec const& spec_;
  WeightNames const& names_;
  TensorFinder finder_;
  Precision precision_;
  ThreadTeam& team_;
  WeightArena arena_;
};

}  // namespace

Weights load_weights(Blueprint const& blueprint, TensorTable const& tensors, Precision precision, ThreadTeam& team) {
  return WeightLoader(blueprint, tensors, precision, team).load();
}

}  // namespace windlass
