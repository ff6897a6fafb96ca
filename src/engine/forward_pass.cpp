#include "src/engine/forward_pass.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/error.hpp"
#include "src/engine/forward_buffers.hpp"
#include "src/engine/micro_batches.hpp"
#include "src/kv/page_pool.hpp"
#include "src/model/canonical_slices.hpp"

namespace windlass {
namespace {

std::vector<Shard> shards_of(Model const& model, int degree) {
  std::vector<Shard> shards;
  for (int rank = 0; rank < degree; ++rank) shards.push_back(shard_of(model.spec, {.degree = degree, .rank = rank}));
  return shards;
}

SlicePlan output_plan(ModelSpec const& spec, std::vector<Shard> const& shards, int rank) {
  std::vector<SliceRange> owners;
  for (Shard const& shard : shards) owners.push_back(shard.output_slices);
  return make_slice_plan(attention_output_slices(spec), owners, rank);
}

/// Of a network of that width; none where the model has none.
SlicePlan down_plan(int width, std::vector<Shard> const& shards, int rank) {
  if (width == 0) return {};
  std::vector<SliceRange> owners;
  for (Shard const& shard : shards) owners.push_back(feed_forward_slices_of(width, shard.place));
  return make_slice_plan(feed_forward_slices(width), owners, rank);
}

}  // namespace

void Batch::clear() {
  tokens.clear();
  positions.clear();
  for (auto& group : sequences) group.clear();
  logit_rows.clear();
  max_context = 0;
  first_row = 0;
  normalizers = Normalizers::skip;
}

ForwardPass::ForwardPass(Model const& model, ForwardMachine const& machine, ForwardLimits const& limits)
    : model_(model),
      precision_(machine.precision),
      operations_(*machine.operations),
      queue_{.team = machine.team, .completion = Completion::later},
      limits_(limits),
      groups_(layer_groups(model.spec)),
      own_layers_(parts_of_groups(groups_, model.shard.layers)),
      shards_(shards_of(model, machine.collective->stage().degree())),
      instance_(*machine.collective),
      group_(instance_.stage(), operations_, queue_),
      output_plan_(output_plan(model.spec, shards_, group_.rank())),
      dense_plan_(down_plan(model.spec.ffn, shards_, group_.rank())),
      shared_plan_(down_plan(model.spec.shared_expert_ffn, shards_, group_.rank())),
      expert_plan_(down_plan(model.spec.expert_ffn, {Shard{}}, 0)),
      buffers_(std::make_unique<Buffers>(
          model, limits, group_,
          MachineMemory{.memory = operations_.memory,
                        .attention_threads = operations_.attention_threads > 0 ? operations_.attention_threads
                                                                               : machine.team->size()})) {
  TensorParallel const place{.degree = group_.degree(), .rank = group_.rank()};
  PipelinePlace const own_stage{.stages = stages_of(instance_), .stage = stage_of(instance_)};
  ensure(model.shard.place == place && pipeline() == own_stage, "the weights are another rank's shard");
  ensure(model.weights.space == operations_.memory->space, "the weights lie where these operations cannot read them");
  bool const on_host = operations_.memory->space == MemorySpace::host;
  ensure(instance_.degree() == 1 || on_host, "ranks exchange sums and rows in the host's memory");
}

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
  if (pipeline().is_first()) embed(batch);
  auto const parts = micro_batches(int(batch.tokens.size()), pipeline().stages);
  if (parts.size() == 1)
    run_rows(batch, groups);
  else
    for (IndexRange const& rows : parts) run_rows(rows_of(batch, rows), groups);
  run_logits(batch, sink);
  operations_.memory->wait(queue_);  // pages and buffers are the host's again
}

/// Each rank makes the rows of its own tokens.
void ForwardPass::embed(Batch const& batch) {
  Buffers& b = *buffers_;
  Embedding op{.y = b.x.data(),
               .y_stride = b.hidden_stride,
               .table = &model_.weights.embedding,
               .tokens = batch.tokens,
               .scale = float(model_.spec.embedding_scale)};
  if (group_.alone()) return operations_.embedding(op, queue_);
  std::vector<std::vector<int>> rows_of_rank(shards_.size());
  b.tokens.clear();
  for (std::size_t row = 0; row < batch.tokens.size(); ++row)
    for (std::size_t rank = 0; rank < shards_.size(); ++rank) {
      IndexRange const& vocab = shards_[rank].vocab;
      int const token = int(number(batch.tokens[row]));
      if (!vocab.contains(token)) continue;
      rows_of_rank[rank].push_back(int(row));
      if (int(rank) == group_.rank()) b.tokens.push_back(TokenId(std::uint32_t(token - vocab.begin)));
    }
  op.y = b.normed.data();
  op.tokens = b.tokens;
  operations_.embedding(op, queue_);
  std::vector<int> counts, widths(shards_.size(), model_.spec.hidden);
  for (auto const& rows : rows_of_rank) counts.push_back(int(rows.size()));
  group_.share({.own = op.y, .stride = op.y_stride, .rows = counts, .widths = widths},
               [&](int rank, int first, int count, float const* data) {
                 for (int i = 0; i < count; ++i) {
                   std::int64_t const row = rows_of_rank[std::size_t(rank)][std::size_t(first + i)];
                   std::copy_n(data + std::int64_t(i) * model_.spec.hidden, model_.spec.hidden,
                               b.x.data() + row * b.hidden_stride);
                 }
               });
}

void ForwardPass::copy_rows(float const* from, Rows const& to, int width) {
  queue_.team->for_parts(to.count, 16, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) std::copy_n(from + row * width, width, to.data + row * to.stride);
  });
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

void ForwardPass::product(PackedMatrix const& weight, FloatArray const& bias, Slices const& slices, Rows const& y,
                          Accumulate accumulate) {
  operations_.matmul({.y = y.data,
                      .y_stride = y.stride,
                      .x = buffers_->activations,
                      .weight = &weight,
                      .bias = bias.data_or_null(),
                      .slices = slices,
                      .tokens = y.count,
                      .accumulate = accumulate},
                     queue_);
}

void ForwardPass::norm(Rows const& x, FloatArray const& weight, Rows const& y, Accumulate accumulate) {
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
  Rows const x = stream(batch), normed{b.normed.data(), b.hidden_stride, rows};
  norm(x, weights.attention_norm, normed, Accumulate::store);
  attention(batch, groups, layer);
  norm(x, weights.ffn_norm, normed, Accumulate::store);

  bool const post_norm = !weights.post_ffn_norm.empty();
  Rows const branch{b.branch.data(), b.hidden_stride, rows};
  Rows const& out = post_norm ? branch : x;
  if (model_.spec.layers[std::size_t(layer)].moe) {
    if (post_norm) zero(branch);
    experts(weights, out);
  } else {
    feed_forward(weights.dense, dense_plan_, {normed, out, post_norm ? Accumulate::store : Accumulate::add_to_y});
  }
  if (post_norm) norm(branch, weights.post_ffn_norm, x, Accumulate::add_to_y);
}

void ForwardPass::zero(Rows const& rows) {
  operations_.memory->wait(queue_);  // what is queued may still read them
  operations_.memory->zero(
      {reinterpret_cast<std::byte*>(rows.data), std::size_t(rows.count) * std::size_t(rows.stride) * sizeof(float)});
}

void ForwardPass::attention(Batch const& batch, std::span<LayerGroup const> groups, int layer) {
  Buffers& b = *buffers_;
  ModelSpec const& spec = model_.spec;
  LayerSpec const& layer_spec = spec.layers[std::size_t(layer)];
  LayerWeights const& weights = model_.weights.layers[std::size_t(layer)];
  int const rows = int(batch.tokens.size());
  auto const group = std::size_t(groups_.group[std::size_t(layer)]);
  KvView const kv = groups[group].pool->view(groups_.index[std::size_t(layer)] - own_layers_[group].begin);
  Rows const qkv{b.qkv.data(), b.qkv_stride, rows}, attended{b.attended.data(), b.attention_stride, rows};

  encode({b.normed.data(), b.hidden_stride, rows}, weights.qkv);
  product(weights.qkv, weights.qkv_bias, Slices::whole(weights.qkv.groups()), qkv, Accumulate::store);
  operations_.rope_and_store({.qkv = qkv.data,
                              .stride = qkv.stride,
                              .heads = model_.shard.heads.size(),
                              .rotary_dim = spec.ropes[std::size_t(layer_spec.rope)].rotary_dim,
                              .cos_sin = b.cos_sin[std::size_t(layer_spec.rope)].data(),
                              .q_norm = weights.q_norm.data_or_null(),
                              .k_norm = weights.k_norm.data_or_null(),
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
                               .heads = model_.shard.heads.size(),
                               .window = layer_spec.window,
                               .scale = float(spec.attention_scale),
                               .soft_cap = float(spec.attention_soft_cap),
                               .workspace = {b.workspace.data(), b.workspace.size()}},
                              queue_);
  encode(attended, weights.output);
  Rows const x = stream(batch), branch{b.branch.data(), b.hidden_stride, rows};
  if (weights.post_attention_norm.empty()) return output_product(weights, x, Accumulate::add_to_y);
  output_product(weights, branch, Accumulate::store);
  norm(branch, weights.post_attention_norm, x, Accumulate::add_to_y);
}

void ForwardPass::output_product(LayerWeights const& weights, Rows const& y, Accumulate accumulate) {
  group_.product({.y = y.data,
                  .y_stride = y.stride,
                  .x = buffers_->activations,
                  .weight = &weights.output,
                  .bias = weights.output_bias.data_or_null(),
                  .slices = {},
                  .tokens = y.count,
                  .accumulate = accumulate},
                 output_plan_);
}

/// `network` is this rank's part of its width, whose slices `down` names.
void ForwardPass::feed_forward(FeedForward const& network, SlicePlan const& down, Flow const& flow) {
  Buffers& b = *buffers_;
  int const width = network.down.columns;
  Rows const gate_up{b.gate_up.data(), b.gate_up_stride, flow.x.count};
  encode(flow.x, network.gate_up);
  product(network.gate_up, {}, Slices::whole(network.gate_up.groups()), gate_up, Accumulate::store);
  operations_.gated_activation({.y = gate_up.data,
                                .x = gate_up.data,
                                .y_stride = gate_up.stride,
                                .x_stride = gate_up.stride,
                                .up_offset = round_up(width, panel_rows),
                                .tokens = flow.x.count,
                                .width = width,
                                .gate = model_.spec.gate},
                               queue_);
  encode(gate_up, network.down);
  bool const on_one_rank = down.own.size() == down.slices.count;
  if (on_one_rank) return product(network.down, {}, down.slices, flow.y, flow.accumulate);
  group_.product({.y = flow.y.data,
                  .y_stride = flow.y.stride,
                  .x = b.activations,
                  .weight = &network.down,
                  .slices = {},
                  .tokens = flow.y.count,
                  .accumulate = flow.accumulate},
                 down);
}

}  // namespace windlass
