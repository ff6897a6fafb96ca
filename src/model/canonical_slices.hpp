/// Where the K slices of row-parallel products lie: a function of the model's shape alone (design: canonical order of
/// sums).
#pragma once

#include "kernels/slices.hpp"
#include "src/model/spec.hpp"

namespace windlass {

/// Of the attention output product, K = heads * head_dim. No slice straddles two KV heads; as many slices as it takes
/// to reach 8 where the head counts allow, at most 16, so that tensor-parallel ranks own whole ones.
Slices attention_output_slices(ModelSpec const& spec);

/// Of a feed-forward network's down product, K = `width`: 8 slices, or one per group of 32 where there are fewer.
Slices feed_forward_slices(int width);

}  // namespace windlass
