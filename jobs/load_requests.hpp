/// What a load generator sends, and when.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "src/sim/workload.hpp"

namespace windlass {

enum class PromptForm : std::uint8_t { token_ids, words };
enum class LoadRoute : std::uint8_t { completions, chat };
enum class EndOfText : std::uint8_t { ignored, ends_answers };

/// Prompts are random but depend on the seed alone. Those of a trace with block hashes begin alike where the trace's
/// do.
struct PromptRecipe {
  PromptForm form = PromptForm::token_ids;
  std::int32_t vocab = 0;                 ///< token ids are below it
  std::int32_t shared_prefix_tokens = 0;  ///< in front of every prompt, the same ones
  std::int32_t trace_block_tokens = 512;  ///< that a trace's block hash stands for
  std::uint64_t seed = 0;
};

struct BodyRecipe {
  LoadRoute route = LoadRoute::completions;
  std::string model;
  PromptRecipe prompts;
  EndOfText end_of_text = EndOfText::ignored;
  boost::json::object extra;  ///< fields of every request; they win
};

/// One request to come. Its body is made when it is sent: a whole trace's would not fit into memory.
struct PlannedRequest {
  Microseconds at_us = 0;  ///< after the begin
  SimRequest work;         ///< lengths; 0 prompt tokens: `fields` has the prompt
  boost::json::object fields;
};
using LoadPlan = std::vector<PlannedRequest>;

/// Random lengths, each uniform within mean × (1 ± spread).
struct RandomLengths {
  TokenLengths mean{};
  double spread = 0;  ///< in [0, 1]
};
LengthSampler random_lengths(RandomLengths const& recipe);

/// Prompts of a JSONL file: {"prompt": text or token ids}, {"messages": […]}, or OpenAI's batch lines; an
/// "output_tokens" or "max_tokens" of a line replaces `output_tokens`. Taken in turn until there are `count` (0: as
/// many as there are). Throws FileError, InputError naming file and line.
struct CustomPrompts {
  std::string path;
  std::int64_t count = 0;
  std::int32_t output_tokens = 256;
};
LoadPlan read_custom_prompts(CustomPrompts const& recipe, LoadRoute route);

LoadPlan plan_of(Workload workload);
/// Replaces the times by arrivals of this process; an infinite rate is all at once.
void set_arrivals(LoadPlan& plan, ArrivalProcess const& arrivals, std::uint64_t seed);

/// The request's JSON, as a stream with usage. `index` is its place in the plan.
std::string request_body(BodyRecipe const& recipe, PlannedRequest const& planned, std::size_t index);

}  // namespace windlass
