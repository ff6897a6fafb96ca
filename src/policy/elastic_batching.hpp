/// Which waiting prompts share a batch, and how many instances prefill it (LoongServe's dynamic programme).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace windlass {

/// us of one prefill step over `degree` instances = base + per_token * sum(tokens) + per_square * sum(tokens²).
struct ElasticDegreeTime {
  double base_us, per_token_us, per_square_us;
};

struct ElasticBatchingInput {
  std::span<std::int64_t const> prompt_tokens;      ///< [prompts], any order
  std::span<std::int64_t const> free_tokens;        ///< [instances]: KV room, in the order in which spans are cut
  std::span<ElasticDegreeTime const> degree_times;  ///< [instances]: of degree 1, 2, …
  std::size_t exact_prompts = 200;                  ///< with more, batches do not grow as instances are added
};

struct ElasticBatch {
  std::vector<std::size_t> prompts;  ///< indices into prompt_tokens, the longest first
  std::size_t first_instance, instances;
};

enum class ElasticBatchingStop : std::uint8_t { planned, nothing_waits, too_few_tokens_free };

struct ElasticBatchingPlan {
  std::vector<ElasticBatch> batches;
  double cost;     ///< sum over prompts of (time of its batch / its tokens)
  double time_us;  ///< of the slowest batch
  ElasticBatchingStop stop;
};

/// Prompts by descending length and instances in their order are cut into matching spans with the least sum of
/// normalised input latencies. Exact below `exact_prompts`, O(prompts² instances²). Local, pure, no errors.
/// Source: LoongServe (SOSP'24), section 5.3; its span bound is left out, which would force one single batch.
ElasticBatchingPlan plan_elastic_batches(ElasticBatchingInput const& in);

}  // namespace windlass
