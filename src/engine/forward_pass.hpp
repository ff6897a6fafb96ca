/// The forward pass of one model: tokens in, logits out, K and V written into pages. Written once, against the operator
/// contracts of kernels/.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/operations.hpp"
#include "src/core/collective.hpp"
#include "src/core/thread_team.hpp"
#include "src/engine/tensor_group.hpp"
#include "src/kv/layer_group.hpp"
#include "src/model/model.hpp"

namespace windlass {

/// Which layers share pages: layers of equal attention window form a group, in the order of their first layer.
struct LayerGroups {
  std::vector<int> windows;  ///< [groups]; 0: full attention
  std::vector<int> layers;   ///< [groups] layers in each
  std::vector<int> group;    ///< [model layers] group of a layer
  std::vector<int> index;    ///< [model layers] position of a layer within its group
};
/// Throws InputError where a model has more unlike windows than max_layer_groups.
LayerGroups layer_groups(ModelSpec const& spec);
/// [groups] which of their layers lie in `layers` of the model: positions within each group; may be empty.
std::vector<IndexRange> parts_of_groups(LayerGroups const& groups, IndexRange layers);

KvFormat kv_format(Precision precision, Operations const& operations);

enum class Normalizers : std::uint8_t { skip, compute };

/// One step's rows: every sequence's new tokens, one after the other.
struct Batch {
  std::vector<TokenId> tokens;                       ///< [rows]
  std::vector<int> positions;                        ///< [rows]
  std::vector<std::vector<SequenceRows>> sequences;  ///< [groups][sequences]; they differ in the page tables only
  std::vector<int> logit_rows;                       ///< ascending rows whose logits are wanted
  int max_context = 0;                               ///< 1 + the largest position
  int first_row = 0;                                 ///< of the step's rows, where it is a part of them
  Normalizers normalizers = Normalizers::skip;       ///< compute: log-probabilities are wanted

  void clear();
};

/// Logits of some of Batch::logit_rows: entry i belongs to logit_rows[first + i]. Valid during the call.
struct LogitBlock {
  int first = 0, count = 0;
  float* logits = nullptr;  ///< [count, stride]
  std::int64_t stride = 0;
  float const* normalizers = nullptr;  ///< [count], see LogNormalizer
};

struct ForwardLimits {
  int rows = 0;  ///< of one batch, at most
  int max_context = 0;
};

/// What computes. All of it outlives the forward pass.
struct ForwardMachine {
  Precision precision = Precision::fast;
  Operations const* operations = nullptr;
  ThreadTeam* team = nullptr;
  Collective* collective = nullptr;  ///< of the ranks that hold the model's shards: all of the instance
};

/// Allocates its buffers once; run() does not. On several ranks collective over the instance: all run the same batches.
class ForwardPass {
 public:
  /// `model` outlives it, and its shard is that of the collective's rank.
  ForwardPass(Model const& model, ForwardMachine const& machine, ForwardLimits const& limits);
  ~ForwardPass();

  /// `groups` in the order of layer_groups(). Logits come in blocks of at most `logit_block_rows`, on rank 0 alone.
  void run(Batch const& batch, std::span<LayerGroup const> groups, std::function<void(LogitBlock const&)> const& sink);

  static constexpr int logit_block_rows = 64;
  std::size_t buffer_bytes() const;

 private:
  struct Buffers;
  PipelinePlace const& pipeline() const { return model_.shard.pipeline; }
  /// Rows of floats in one of the buffers.
  struct Rows {
    float* data;  // [count, stride]
    std::int64_t stride;
    int count;
  };
  /// What a feed-forward network reads and writes.
  struct Flow {
    Rows x, y;
    Accumulate accumulate;
  };
  void run_rows(Batch const& batch, std::span<LayerGroup const> groups);
  void take_over(Rows const& rows);
  void hand_on(Rows const& rows);
  void logits_to_leader(Rows const& rows);
  Rows stream(Batch const& batch) const;
  void embed(Batch const& batch);
  void rotations(Batch const& batch);
  void run_layer(Batch const& batch, std::span<LayerGroup const> groups, int layer);
  void attention(Batch const& batch, std::span<LayerGroup const> groups, int layer);
  void output_product(LayerWeights const& weights, Rows const& y, Accumulate accumulate);
  void feed_forward(FeedForward const& network, SlicePlan const& down, Flow const& flow);
  void experts(LayerWeights const& weights, Rows const& y);
  void experts_of_all_ranks(LayerWeights const& weights, Rows const& y);
  int rows_of_expert(int expert, int tokens);
  void one_expert(FeedForward const& network, int count, float* out);
  void combine_expert(int count, float const* out, Rows const& y);
  void run_logits(Batch const& batch, std::function<void(LogitBlock const&)> const& sink);
  void compute_logits(std::span<std::int32_t const> batch_rows);
  void logits_of_all_ranks(int rows);
  void copy_rows(float const* from, Rows const& to, int width);
  void zero(Rows const& rows);
  void norm(Rows const& x, FloatArray const& weight, Rows const& y, Accumulate accumulate);
  void encode(Rows const& x, PackedMatrix const& reader);
  void product(PackedMatrix const& weight, FloatArray const& bias, Slices const& slices, Rows const& y,
               Accumulate accumulate);

  Model const& model_;
  Precision precision_;
  Operations const& operations_;
  Queue queue_;
  ForwardLimits limits_;
  LayerGroups groups_;
  std::vector<IndexRange> own_layers_;  // [groups] of this stage
  std::vector<Shard> shards_;           // [ranks of this stage]
  Collective& instance_;
  TensorGroup group_;  // this stage
  SlicePlan output_plan_, dense_plan_, shared_plan_;
  SlicePlan expert_plan_;  // an expert's slices all lie on one rank
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace windlass
