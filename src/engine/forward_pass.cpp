#include "src/engine/forward_pass.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/error.hpp"
#include "src/engine/aligned_array.hpp"
#include "src/engine/canonical_slices.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

constexpr int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

int padded_rows(PackedMatrix const& matrix) { return matrix.panels() * panel_rows; }

/// The widest row that an activation buffer must hold.
int widest_input(ModelSpec const& spec) {
  return std::max({spec.hidden, spec.heads * spec.head_dim, spec.ffn, spec.expert_ffn, spec.shared_expert_ffn});
}
int widest_gate_up(ModelSpec const& spec) {
  return 2 * round_up(std::max({spec.ffn, spec.expert_ffn, spec.shared_expert_ffn}), panel_rows);
}

}  // namespace

void Batch::clear() {
  tokens.clear();
  positions.clear();
  for (auto& group : sequences) group.clear();
  logit_rows.clear();
  max_context = 0;
  normalizers = Normalizers::skip;
}

struct ForwardPass::Buffers {
  std::int64_t hidden_stride, qkv_stride, attention_stride, gate_up_stride, logits_stride, encoded_stride;
  AlignedArray<float> x, normed, qkv, attended, gate_up, branch, logits, normalizers, gathered;
  std::vector<AlignedArray<float>> cos_sin;  // [ropes]
  AlignedArray<float> encoded, scales, scaled_sums, router_logits, expert_weights, row_weights, expert_x, expert_y;
  AlignedArray<std::int32_t> sums, chosen, expert_rows;
  AlignedArray<std::byte> workspace;
  Activations activations;  ///< what encode() wrote last

  Buffers(ModelSpec const& spec, Weights const& weights, ForwardLimits const& limits, int threads);
};

ForwardPass::Buffers::Buffers(ModelSpec const& spec, Weights const& weights, ForwardLimits const& limits, int threads)
    : hidden_stride(round_up(spec.hidden, group_size)),
      qkv_stride(round_up((spec.heads + 2 * spec.kv_heads) * spec.head_dim, group_size)),
      attention_stride(round_up(spec.heads * spec.head_dim, group_size)),
      gate_up_stride(widest_gate_up(spec)),
      logits_stride(padded_rows(weights.head)),
      encoded_stride(round_up(widest_input(spec), group_size)) {
  auto const rows = std::size_t(limits.rows);
  auto const floats = [&](std::int64_t stride) { return AlignedArray<float>(rows * std::size_t(stride)); };
  x = floats(hidden_stride);
  normed = floats(hidden_stride);
  branch = floats(hidden_stride);
  qkv = floats(qkv_stride);
  attended = floats(attention_stride);
  gate_up = floats(gate_up_stride);
  int const most_rows = std::max(limits.rows, logit_block_rows);
  encoded = AlignedArray<float>(std::size_t(round_to_tile(most_rows)) * std::size_t(encoded_stride));
  scales = AlignedArray<float>(std::size_t(round_to_tile(most_rows)) * std::size_t(encoded_stride / group_size));
  scaled_sums = AlignedArray<float>(scales.size());
  sums = AlignedArray<std::int32_t>(scales.size());
  gathered = AlignedArray<float>(std::size_t(logit_block_rows) * std::size_t(hidden_stride));
  logits = AlignedArray<float>(std::size_t(logit_block_rows) * std::size_t(logits_stride));
  normalizers = AlignedArray<float>(logit_block_rows);
  for (RopeSpec const& rope : spec.ropes) cos_sin.push_back(floats(rope.rotary_dim));
  workspace = AlignedArray<std::byte>(attention_workspace_bytes(spec.head_dim, limits.max_context, threads));
  if (spec.experts == 0) return;
  router_logits = floats(round_up(spec.experts, panel_rows));
  expert_weights = floats(spec.experts_per_token);
  chosen = AlignedArray<std::int32_t>(expert_weights.size());
  row_weights = floats(1);
  expert_rows = AlignedArray<std::int32_t>(rows);
  expert_x = floats(hidden_stride);
  expert_y = floats(hidden_stride);
}

ForwardPass::ForwardPass(Model const& model, Precision precision, Operations const& operations, ThreadTeam& team,
                         ForwardLimits const& limits)
    : model_(model),
      precision_(precision),
      operations_(operations),
      queue_{.team = &team},
      limits_(limits),
      groups_(layer_groups(model.spec)),
      output_slices_(attention_output_slices(model.spec)),
      buffers_(std::make_unique<Buffers>(model.spec, model.weights, limits, team.size())) {}

ForwardPass::~ForwardPass() = default;

std::size_t ForwardPass::buffer_bytes() const {
  Buffers const& b = *buffers_;
  std::size_t bytes = b.workspace.size_bytes() + b.sums.size_bytes();
  for (auto const* array : {&b.x, &b.normed, &b.branch, &b.qkv, &b.attended, &b.gate_up, &b.encoded, &b.scales,
                            &b.gathered, &b.logits, &b.expert_x, &b.expert_y})
    bytes += array->size_bytes();
  return bytes;
}

void ForwardPass::run(Batch const& batch, std::span<LayerGroup const> groups,
                      std::function<void(LogitBlock const&)> const& sink) {
  ensure(int(batch.tokens.size()) <= limits_.rows && batch.max_context <= limits_.max_context,
         "the batch is larger than the forward pass was made for");
  Buffers& b = *buffers_;
  rotations(batch);
  operations_.embedding({.y = b.x.data(),
                         .y_stride = b.hidden_stride,
                         .table = &model_.weights.embedding,
                         .tokens = batch.tokens,
                         .scale = float(model_.spec.embedding_scale)},
                        queue_);
  for (int layer = 0; layer < int(model_.spec.layers.size()); ++layer) run_layer(batch, groups, layer);
  run_logits(batch, sink);
}

void ForwardPass::rotations(Batch const& batch) {
  for (std::size_t r = 0; r < model_.spec.ropes.size(); ++r) {
    RopeSpec const& rope = model_.spec.ropes[r];
    bool const is_long = !rope.long_inverse_frequency.empty() && model_.max_model_len > rope.long_from;
    std::vector<double> const& frequency = is_long ? rope.long_inverse_frequency : rope.inverse_frequency;
    int const half = rope.rotary_dim / 2;
    float* const table = buffers_->cos_sin[r].data();  // [rows, rotary_dim]
    queue_.team->for_parts(std::int64_t(batch.positions.size()), 64, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row)
        for (int i = 0; i < half; ++i) {
          double const angle = batch.positions[std::size_t(row)] * frequency[std::size_t(i)];
          table[row * rope.rotary_dim + i] = float(std::cos(angle) * rope.attention_factor);
          table[row * rope.rotary_dim + half + i] = float(std::sin(angle) * rope.attention_factor);
        }
    });
  }
}

void ForwardPass::encode(Rows const& x, PackedMatrix const& reader) {
  Buffers& b = *buffers_;
  b.activations = {.format = activation_format(reader.format, precision_, operations_.bf16_products),
                   .values = b.encoded.data(),
                   .scales = b.scales.data(),
                   .scaled_sums = b.scaled_sums.data(),
                   .sums = b.sums.data(),
                   .stride = round_up(reader.columns, group_size)};
  operations_.encode_activations(
      {.out = b.activations, .x = x.data, .x_stride = x.stride, .tokens = x.count, .columns = reader.columns}, queue_);
}

void ForwardPass::product(PackedMatrix const& weight, std::vector<float> const& bias, Slices const& slices,
                          Rows const& y, Accumulate accumulate) {
  operations_.matmul({.y = y.data,
                      .y_stride = y.stride,
                      .x = buffers_->activations,
                      .weight = &weight,
                      .bias = bias.empty() ? nullptr : bias.data(),
                      .slices = slices,
                      .tokens = y.count,
                      .accumulate = accumulate},
                     queue_);
}

void ForwardPass::norm(Rows const& x, std::vector<float> const& weight, Rows const& y, Accumulate accumulate) {
  operations_.rms_norm({.y = y.data,
                        .x = x.data,
                        .weight = weight.data(),
                        .y_stride = y.stride,
                        .x_stride = x.stride,
                        .tokens = x.count,
                        .hidden = model_.spec.hidden,
                        .eps = float(model_.spec.norm_eps),
                        .accumulate = accumulate},
                       queue_);
}

void ForwardPass::run_layer(Batch const& batch, std::span<LayerGroup const> groups, int layer) {
  Buffers& b = *buffers_;
  LayerWeights const& weights = model_.weights.layers[std::size_t(layer)];
  int const rows = int(batch.tokens.size());
  Rows const x{b.x.data(), b.hidden_stride, rows}, normed{b.normed.data(), b.hidden_stride, rows};
  norm(x, weights.attention_norm, normed, Accumulate::store);
  attention(batch, groups, layer);
  norm(x, weights.ffn_norm, normed, Accumulate::store);

  bool const post_norm = !weights.post_ffn_norm.empty();
  Rows const branch{b.branch.data(), b.hidden_stride, rows};
  Rows const& out = post_norm ? branch : x;
  if (model_.spec.layers[std::size_t(layer)].moe) {
    if (post_norm) std::fill_n(b.branch.data(), std::size_t(rows) * std::size_t(b.hidden_stride), 0.0f);
    experts(weights, out);
  } else {
    feed_forward(weights.dense, normed, out, post_norm ? Accumulate::store : Accumulate::add_to_y);
  }
  if (post_norm) norm(branch, weights.post_ffn_norm, x, Accumulate::add_to_y);
}

void ForwardPass::attention(Batch const& batch, std::span<LayerGroup const> groups, int layer) {
  Buffers& b = *buffers_;
  ModelSpec const& spec = model_.spec;
  LayerSpec const& layer_spec = spec.layers[std::size_t(layer)];
  LayerWeights const& weights = model_.weights.layers[std::size_t(layer)];
  int const rows = int(batch.tokens.size());
  auto const group = std::size_t(groups_.group[std::size_t(layer)]);
  KvView const kv = groups[group].pool->view(groups_.index[std::size_t(layer)]);
  Rows const qkv{b.qkv.data(), b.qkv_stride, rows}, attended{b.attended.data(), b.attention_stride, rows};

  encode({b.normed.data(), b.hidden_stride, rows}, weights.qkv);
  product(weights.qkv, weights.qkv_bias, Slices::whole(weights.qkv.groups()), qkv, Accumulate::store);
  operations_.rope_and_store({.qkv = qkv.data,
                              .stride = qkv.stride,
                              .heads = spec.heads,
                              .rotary_dim = spec.ropes[std::size_t(layer_spec.rope)].rotary_dim,
                              .cos_sin = b.cos_sin[std::size_t(layer_spec.rope)].data(),
                              .q_norm = weights.q_norm.empty() ? nullptr : weights.q_norm.data(),
                              .k_norm = weights.k_norm.empty() ? nullptr : weights.k_norm.data(),
                              .norm_eps = float(spec.norm_eps),
                              .kv = kv,
                              .sequences = batch.sequences[group]},
                             queue_);
  operations_.paged_attention({.out = attended.data,
                               .out_stride = attended.stride,
                               .q = qkv.data,
                               .q_stride = qkv.stride,
                               .kv = kv,
                               .sequences = batch.sequences[group],
                               .heads = spec.heads,
                               .window = layer_spec.window,
                               .scale = float(spec.attention_scale),
                               .soft_cap = float(spec.attention_soft_cap),
                               .workspace = {b.workspace.data(), b.workspace.size()}},
                              queue_);
  encode(attended, weights.output);
  Rows const x{b.x.data(), b.hidden_stride, rows}, branch{b.branch.data(), b.hidden_stride, rows};
  if (weights.post_attention_norm.empty())
    return product(weights.output, weights.output_bias, output_slices_, x, Accumulate::add_to_y);
  product(weights.output, weights.output_bias, output_slices_, branch, Accumulate::store);
  norm(branch, weights.post_attention_norm, x, Accumulate::add_to_y);
}

void ForwardPass::feed_forward(FeedForward const& network, Rows const& x, Rows const& y, Accumulate accumulate) {
  Buffers& b = *buffers_;
  int const width = network.down.columns;
  Rows const gate_up{b.gate_up.data(), b.gate_up_stride, x.count};
  encode(x, network.gate_up);
  product(network.gate_up, {}, Slices::whole(network.gate_up.groups()), gate_up, Accumulate::store);
  operations_.gated_activation({.y = gate_up.data,
                                .x = gate_up.data,
                                .y_stride = gate_up.stride,
                                .x_stride = gate_up.stride,
                                .up_offset = round_up(width, panel_rows),
                                .tokens = x.count,
                                .width = width,
                                .gate = model_.spec.gate},
                               queue_);
  encode(gate_up, network.down);
  product(network.down, {}, feed_forward_slices(width), y, accumulate);
}

void ForwardPass::experts(LayerWeights const& weights, Rows const& y) {
  Buffers& b = *buffers_;
  ModelSpec const& spec = model_.spec;
  Rows const x{b.normed.data(), b.hidden_stride, y.count};
  Rows const router{b.router_logits.data(), round_up(spec.experts, panel_rows), y.count};
  encode(x, weights.router);
  product(weights.router, {}, Slices::whole(weights.router.groups()), router, Accumulate::store);
  operations_.route_experts({.experts = b.chosen.data(),
                             .weights = b.expert_weights.data(),
                             .logits = router.data,
                             .stride = router.stride,
                             .tokens = y.count,
                             .num_experts = spec.experts,
                             .chosen = spec.experts_per_token,
                             .normalization = spec.router_normalization},
                            queue_);
  if (spec.shared_expert_ffn > 0) feed_forward(weights.shared_expert, x, y, Accumulate::add_to_y);
  for (int expert = 0; expert < spec.experts; ++expert) {  // ascending: one order of sums for every token
    int count = 0;
    for (int i = 0; i < y.count * spec.experts_per_token; ++i) {
      if (b.chosen[std::size_t(i)] != expert) continue;
      b.expert_rows[std::size_t(count)] = i / spec.experts_per_token;
      b.row_weights[std::size_t(count++)] = b.expert_weights[std::size_t(i)];
    }
    if (count > 0) one_expert(weights.experts[std::size_t(expert)], count, y);
  }
}

void ForwardPass::one_expert(FeedForward const& network, int count, Rows const& y) {
  Buffers& b = *buffers_;
  Rows const in{b.expert_x.data(), b.hidden_stride, count}, out{b.expert_y.data(), b.hidden_stride, count};
  operations_.gather_rows({.y = in.data,
                           .x = b.normed.data(),
                           .y_stride = in.stride,
                           .x_stride = b.hidden_stride,
                           .rows = b.expert_rows.data(),
                           .count = count,
                           .width = model_.spec.hidden},
                          queue_);
  feed_forward(network, in, out, Accumulate::store);
  operations_.combine_expert({.y = y.data,
                              .x = out.data,
                              .y_stride = y.stride,
                              .x_stride = out.stride,
                              .rows = b.expert_rows.data(),
                              .weights = b.row_weights.data(),
                              .count = count,
                              .width = model_.spec.hidden},
                             queue_);
}

void ForwardPass::run_logits(Batch const& batch, std::function<void(LogitBlock const&)> const& sink) {
  Buffers& b = *buffers_;
  int const wanted = int(batch.logit_rows.size());
  for (int first = 0; first < wanted; first += logit_block_rows) {
    int const count = std::min(logit_block_rows, wanted - first);
    Rows const rows{b.gathered.data(), b.hidden_stride, count}, out{b.logits.data(), b.logits_stride, count};
    operations_.gather_rows({.y = rows.data,
                             .x = b.x.data(),
                             .y_stride = rows.stride,
                             .x_stride = b.hidden_stride,
                             .rows = batch.logit_rows.data() + first,
                             .count = count,
                             .width = model_.spec.hidden},
                            queue_);
    norm(rows, model_.weights.final_norm, rows, Accumulate::store);
    encode(rows, model_.weights.head);
    product(model_.weights.head, {}, Slices::whole(model_.weights.head.groups()), out, Accumulate::store);
    if (batch.normalizers == Normalizers::compute || model_.spec.logit_soft_cap > 0)
      operations_.log_normalizer({.normalizer = b.normalizers.data(),
                                  .x = out.data,
                                  .stride = out.stride,
                                  .rows = count,
                                  .vocab = model_.spec.vocab,
                                  .soft_cap = float(model_.spec.logit_soft_cap)},
                                 queue_);
    sink({.first = first,
          .count = count,
          .logits = out.data,
          .stride = out.stride,
          .normalizers = b.normalizers.data()});
  }
}

}  // namespace windlass
