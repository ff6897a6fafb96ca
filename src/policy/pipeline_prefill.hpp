/// How one long prompt runs through a group of prefill nodes, each of which holds some of the layers (Mooncake's
/// chunked pipeline parallelism).
#pragma once

#include <cstdint>

#include "src/policy/routing.hpp"

namespace windlass {

struct PipelinePrefillInput {
  std::int64_t prompt_tokens, cached_tokens;
  int stages;                         ///< nodes of the group; >= 1
  std::int64_t chunk_tokens = 2'048;  ///< that saturate a stage; a prompt with no more to compute is not cut
  PrefillEstimate prefill;            ///< of all layers on one node
  double hop_us = 0;                  ///< activations of a chunk from one stage to the next
};

enum class PipelinePrefillStop : std::uint8_t { one_chunk, chunked };

struct PipelinePrefillPlan {
  std::int64_t chunks;
  double stage_us;        ///< how long each stage computes for it: another prompt may follow then
  double first_token_us;  ///< from the first stage's begin to the last one's end
  PipelinePrefillStop stop;
};

/// Chunk k takes the n-th part of its whole time on each of n stages. A stage begins it when it has done chunk k - 1
/// (whose KV it holds) and the stage before has sent chunk k. Local, pure, no errors. Source: Mooncake (FAST'25), 5.1.
PipelinePrefillPlan plan_pipeline_prefill(PipelinePrefillInput const& in);

}  // namespace windlass
