/// What arrives: requests with their lengths, and the processes and length distributions that make them.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "src/core/clock.hpp"
#include "src/sim/random.hpp"

namespace windlass {

struct TokenLengths {
  std::int32_t prompt_tokens, output_tokens;
};

struct SimRequest {
  Microseconds arrival_us = 0;
  TokenLengths lengths{};
  std::int32_t model = 0;                     ///< index of the model asked for
  std::int32_t session = 0;                   ///< requests of one conversation share it
  std::vector<std::uint64_t> block_hashes{};  ///< of the prompt's blocks, in order; empty: nothing is shared
  std::vector<std::uint64_t> whole_hashes{};  ///< of the blocks of prompt and output; empty: as the prompt's
};

/// Requests in order of arrival.
using Workload = std::vector<SimRequest>;

/// Gaps between arrivals follow a gamma distribution with this coefficient of variation; 1 is Poisson, 0 fixed.
struct ArrivalProcess {
  double rate_per_s;
  double variation = 1;
};

/// Draws the lengths of one request.
using LengthSampler = std::function<TokenLengths(RandomStream&)>;

struct WorkloadRecipe {
  std::int64_t requests;
  ArrivalProcess arrivals;
  LengthSampler lengths;
  std::uint64_t seed = 0;
};

/// `recipe.requests` requests, the first at 0. Lengths and gaps use streams of their own, so one seed gives the same
/// lengths at every rate.
Workload make_workload(WorkloadRecipe const& recipe);

/// Conversations about documents. Documents are asked for by Zipf's law; a turn repeats all that was said before it.
struct ConversationRecipe {
  std::int64_t requests;
  ArrivalProcess arrivals;
  std::int64_t documents;
  double zipf_exponent;
  double follow_up_share;             ///< of the requests that continue an earlier conversation
  double document_tokens;             ///< mean, log-normal with the same deviation
  double question_tokens;             ///< mean, exponential
  double output_tokens;               ///< mean, exponential
  std::int32_t max_tokens = 131'072;  ///< of one conversation; then another one starts
  std::int32_t block_tokens = 512;
  std::uint64_t seed = 0;
};
Workload make_conversations(ConversationRecipe const& recipe);

LengthSampler fixed_lengths(TokenLengths lengths);

/// A stand-in for ShareGPT as DistServe filters it (prompt mean 730, output mean 211, together below 2,048).
LengthSampler share_gpt_lengths();

/// One column of a trace: linear between the given points of its distribution.
struct InverseDistribution {
  std::vector<double> share;   ///< ascending, 0 first, 1 last
  std::vector<double> tokens;  ///< the value below which that share lies
};
LengthSampler independent_lengths(InverseDistribution prompt, InverseDistribution output);

/// The Azure 2023 traces' published percentiles (code, and conversation).
LengthSampler azure_code_lengths();
LengthSampler azure_conversation_lengths();

}  // namespace windlass
