#include "src/model/weight_loader.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/core/thread_team.hpp"
#include "src/model/tensor_rows.hpp"

namespace windlass {
namespace {

constexpr std::size_t floats_region_bytes = std::size_t(1) << 20;  ///< norms and biases are small

/// `pattern` with {l} and {e} replaced.
std::string filled(std::string pattern, std::size_t layer, std::size_t expert = 0) {
  for (auto const& [mark, number] : {std::pair{"{l}", layer}, std::pair{"{e}", expert}})
    if (std::size_t const at = pattern.find(mark); at != std::string::npos)
      pattern.replace(at, 3, std::to_string(number));
  return pattern;
}

class WeightLoader {
 public:
  WeightLoader(Blueprint const& blueprint, TensorTable const& tensors, WeightLoad const& load, ThreadTeam& team)
      : spec_(blueprint.spec),
        names_(blueprint.names),
        finder_(tensors, source_name(tensors)),
        precision_(load.precision),
        shard_(load.shard),
        team_(team),
        arena_(load.memory),
        floats_(floats_region_bytes, *load.memory.space) {}

  std::size_t packed_bytes() const { return arena_.taken_bytes(); }

  Weights load() {
    Weights weights;
    weights.space = arena_.space();
    bool const has_head = shard_.pipeline.is_last();
    wanted_ = shard_.pipeline.is_first() || (has_head && spec_.tied_embeddings) ? Wanted::yes : Wanted::no;
    weights.embedding = vocabulary(finder_.rows(names_.embedding, {spec_.vocab, spec_.hidden}));
    for (std::size_t l = 0; l < spec_.layers.size(); ++l) {
      wanted_ = shard_.layers.contains(int(l)) ? Wanted::yes : Wanted::no;
      weights.layers.push_back(layer(l));
    }
    wanted_ = has_head ? Wanted::yes : Wanted::no;
    weights.final_norm = norm(names_.final_norm, spec_.hidden);
    weights.head = head(weights.embedding);
    std::string const& layer_name = names_.layer.attention_norm;
    finder_.check_all_used({.prefix = names_.text_prefix,
                            .layer_prefix = layer_name.substr(0, layer_name.find("{l}")),
                            .layers = std::int64_t(spec_.layers.size())});
    arena_.settle();
    floats_.settle();
    return weights;
  }

 private:
  static std::string source_name(TensorTable const& tensors) {
    return tensors.all().empty() ? "the model" : tensors.all().begin()->second.file->path();
  }

  std::int64_t q_rows() const { return std::int64_t(spec_.heads) * spec_.head_dim; }
  std::int64_t kv_rows() const { return std::int64_t(spec_.kv_heads) * spec_.head_dim; }

  PackedMatrix vocabulary(RowSource const& source) {
    RowSource const own = part_of(source, shard_.vocab.begin, shard_.vocab.size());
    return packed(std::span(&own, 1), spec_.hidden);
  }

  PackedMatrix packed(std::span<RowSource const> sources, std::int64_t columns) {
    if (wanted_ == Wanted::no) return {};
    return pack(sources, columns, {.precision = precision_}, arena_, team_);
  }

  FloatArray norm(std::string const& name, std::int64_t size) {
    if (name.empty()) return {};
    if (wanted_ == Wanted::no) {
      finder_.get(name + ".weight", {size});
      return {};
    }
    std::vector<float> weights = finder_.vector(name, size);
    if (names_.norms == NormWeights::plus_one)
      for (float& weight : weights) weight += 1.0f;
    return {weights, floats_};
  }

  /// Where tied, a head that the file has all the same is used if it is there (its values are the embedding's).
  PackedMatrix head(PackedMatrix const& embedding) {
    if (spec_.tied_embeddings) {
      if (finder_.has(names_.head + ".weight")) finder_.get(names_.head + ".weight", {spec_.vocab, spec_.hidden});
      return wanted_ == Wanted::yes ? embedding : PackedMatrix{};
    }
    return vocabulary(finder_.rows(names_.head, {spec_.vocab, spec_.hidden}));
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
    w.output = output(finder_.rows(filled(n.output, l), {spec_.hidden, q_rows()}));
    w.output_bias = output_bias(l, w.output);
    if (spec_.layers[l].moe)
      load_experts(l, w);
    else
      w.dense = dense(l);
    return w;
  }

  PackedMatrix qkv(std::size_t l) {
    LayerNames const& n = names_.layer;
    std::vector<RowSource> sources;  // q, k, v
    if (!n.qkv.empty()) {
      RowSource const all = finder_.rows(filled(n.qkv, l), {q_rows() + 2 * kv_rows(), spec_.hidden});
      sources = {part_of(all, 0, q_rows()), part_of(all, q_rows(), kv_rows()),
                 part_of(all, q_rows() + kv_rows(), kv_rows())};
    } else {
      sources.push_back(finder_.rows(filled(n.q, l), {q_rows(), spec_.hidden}));
      sources.push_back(finder_.rows(filled(n.k, l), {kv_rows(), spec_.hidden}));
      sources.push_back(finder_.rows(filled(n.v, l), {kv_rows(), spec_.hidden}));
      if (names_.rope_rows == RopeRows::interleaved)
        sources[0].interleaved_head_dim = sources[1].interleaved_head_dim = spec_.head_dim;
    }
    for (std::size_t i = 0; i < sources.size(); ++i) {
      IndexRange const heads = heads_of_part(i);
      sources[i] =
          part_of(sources[i], std::int64_t(heads.begin) * spec_.head_dim, std::int64_t(heads.size()) * spec_.head_dim);
    }
    return packed(sources, spec_.hidden);
  }

  /// Of q (part 0), k and v, the heads of this shard.
  IndexRange heads_of_part(std::size_t part) const { return part == 0 ? shard_.heads : shard_.kv_heads; }

  PackedMatrix output(RowSource const& source) {
    RowSource const own = columns_from(source, std::int64_t(shard_.heads.begin) * spec_.head_dim, q_rows());
    return packed(std::span(&own, 1), std::int64_t(shard_.heads.size()) * spec_.head_dim);
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

  FloatArray qkv_bias(std::size_t l, PackedMatrix const& matrix) {
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
    return bias_of(own_heads(out), matrix);
  }

  /// Of the values of all rows of q, k and v, those of this shard.
  std::vector<float> own_heads(std::vector<float> const& values) const {
    std::vector<float> out;
    std::int64_t const starts[] = {0, q_rows(), q_rows() + kv_rows()};
    for (std::size_t part = 0; part < std::size(starts); ++part) {
      IndexRange const heads = heads_of_part(part);
      auto const start = values.begin() + starts[part];
      out.insert(out.end(), start + std::int64_t(heads.begin) * spec_.head_dim,
                 start + std::int64_t(heads.end) * spec_.head_dim);
    }
    return out;
  }

  FloatArray output_bias(std::size_t l, PackedMatrix const& matrix) {
    std::string const name = filled(names_.layer.output, l);
    if (!wants_bias(names_.output_bias, name)) return {};
    return bias_of(finder_.bias(name, spec_.hidden), matrix);
  }

  /// Filled up to whole panels.
  FloatArray bias_of(std::vector<float> values, PackedMatrix const& matrix) {
    if (wanted_ == Wanted::no) return {};
    values.resize(std::size_t(matrix.panels()) * panel_rows);
    return {values, floats_};
  }

  struct NetworkRows {
    RowSource gate, up, down;
  };
  /// `columns`: of the network's width, those that are held. Gate rows are filled up to whole panels, so that the up
  /// rows start a panel.
  FeedForward feed_forward(NetworkRows const& rows, IndexRange columns) {
    std::vector<RowSource> both{part_of(rows.gate, columns.begin, columns.size()),
                                part_of(rows.up, columns.begin, columns.size())};
    both[0].fill_to = panel_rows;
    RowSource const down = columns_from(rows.down, columns.begin, rows.gate.rows);
    return {.gate_up = packed(both, spec_.hidden), .down = packed(std::span(&down, 1), columns.size())};
  }

  FeedForward dense(std::size_t l) {
    LayerNames const& n = names_.layer;
    std::int64_t const width = spec_.ffn;
    IndexRange const columns = feed_forward_columns_of(spec_.ffn, shard_.place);
    NetworkRows rows{.gate = {}, .up = {}, .down = finder_.rows(filled(n.down, l), {spec_.hidden, width})};
    if (!n.gate_up.empty()) {
      RowSource const both = finder_.rows(filled(n.gate_up, l), {2 * width, spec_.hidden});
      rows.gate = part_of(both, 0, width);
      rows.up = part_of(both, width, width);
    } else {
      rows.gate = finder_.rows(filled(n.gate, l), {width, spec_.hidden});
      rows.up = finder_.rows(filled(n.up, l), {width, spec_.hidden});
    }
    return feed_forward(rows, columns);
  }

  RowSource expert_rows(std::string const& pattern, std::size_t l, std::size_t expert, MatrixShape shape) {
    std::string const name = filled(pattern, l, expert);
    if (pattern.find("{e}") != std::string::npos) return finder_.rows(name, shape);
    return finder_.stacked_rows(name, shape, spec_.experts, std::int64_t(expert));
  }

  void load_experts(std::size_t l, LayerWeights& w) {
    LayerNames const& n = names_.layer;
    RowSource const router = finder_.rows(filled(n.router, l), {spec_.experts, spec_.hidden});
    if (wanted_ == Wanted::yes)
      w.router = pack(std::span(&router, 1), spec_.hidden,
                      {.precision = precision_, .floating_format = WeightFormat::f32}, arena_, team_);
    MatrixShape const wide{spec_.expert_ffn, spec_.hidden}, narrow{spec_.hidden, spec_.expert_ffn};
    for (std::size_t e = 0; e < std::size_t(spec_.experts); ++e) {
      NetworkRows const rows{.gate = expert_rows(n.expert_gate, l, e, wide),
                             .up = expert_rows(n.expert_up, l, e, wide),
                             .down = expert_rows(n.expert_down, l, e, narrow)};
      bool const own = shard_.experts.contains(int(e));
      w.experts.push_back(own ? feed_forward(rows, {0, spec_.expert_ffn}) : FeedForward{});
    }
  }

  ModelSpec const& spec_;
  WeightNames const& names_;
  TensorFinder finder_;
  Precision precision_;
  Shard shard_;
  ThreadTeam& team_;
  WeightArena arena_, floats_;
  /// Whether this rank's stage holds what is being looked at; what it does not hold is found and checked all the same.
  enum class Wanted : unsigned char { no, yes } wanted_ = Wanted::yes;
};

}  // namespace

Weights load_weights(Blueprint const& blueprint, TensorTable const& tensors, Precision precision, ThreadTeam& team) {
  return load_weights(blueprint, tensors, {.precision = precision, .shard = shard_of(blueprint.spec, {})}, team);
}

Weights load_weights(Blueprint const& blueprint, TensorTable const& tensors, WeightLoad const& load, ThreadTeam& team) {
  return WeightLoader(blueprint, tensors, load, team).load();
}

std::size_t packed_bytes(Blueprint const& blueprint, TensorTable const& tensors, WeightLoad const& load,
                         ThreadTeam& team) {
  WeightLoad measuring = load;
  measuring.memory = {.bytes = {}, .owner = nullptr, .filling = Filling::nobody};
  WeightLoader loader(blueprint, tensors, measuring, team);
  loader.load();
  return loader.packed_bytes();
}

}  // namespace windlass
