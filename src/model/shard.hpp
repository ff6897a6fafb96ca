/// Which part of a model each rank of an instance holds: a function of the model's shape and the degrees.
#pragma once

#include <vector>

#include "kernels/slices.hpp"
#include "src/model/spec.hpp"

namespace windlass {

/// A rank's place in its group.
struct TensorParallel {
  int degree = 1;
  int rank = 0;
  bool operator==(TensorParallel const&) const = default;
};

/// Its stage among those of its instance.
struct PipelinePlace {
  int stages = 1;
  int stage = 0;
  bool is_first() const { return stage == 0; }
  bool is_last() const { return stage + 1 == stages; }
  bool operator==(PipelinePlace const&) const = default;
};

/// Indices [begin, end).
struct IndexRange {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
  bool contains(int index) const { return index >= begin && index < end; }
  bool operator==(IndexRange const&) const = default;
};

/// What one rank holds. The parts of all ranks follow each other in order of rank; they may be unequal. Only KV heads
/// may lie on several ranks: above the number of KV heads, those with query heads of the same one all have it. The
/// first stage holds the embedding, the last one the final norm and the head; where the head is the embedding, both
/// hold it.
struct Shard {
  TensorParallel place;
  PipelinePlace pipeline;
  IndexRange layers;         ///< of its stage; what follows is of each of them
  IndexRange heads;          ///< query heads: rows of q, columns of the attention output
  IndexRange kv_heads;       ///< that those heads read
  SliceRange output_slices;  ///< of the attention output product
  IndexRange vocab;          ///< rows of embedding and head; borders are multiples of 16, or the end
  IndexRange experts;        ///< whole ones; may be empty
};

/// Rising, at most 64. 1 is always one of them.
std::vector<int> possible_degrees(ModelSpec const& spec);

/// Throws InputError that lists the possible degrees where `place.degree` or `pipeline.stages` is none of them.
Shard shard_of(ModelSpec const& spec, TensorParallel place, PipelinePlace pipeline = {});

/// The slices of a feed-forward network's down product that a rank owns, and the columns they cover: rows of gate and
/// up, columns of down.
SliceRange feed_forward_slices_of(int width, TensorParallel place);
IndexRange feed_forward_columns_of(int width, TensorParallel place);

}  // namespace windlass
