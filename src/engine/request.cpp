#include "src/engine/request.hpp"

#include <cmath>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

template <class Value>
void require(bool holds, char const* field, Value const& value, char const* range) {
  if (!holds) throw InputError(text(field, "=", value, " is out of range; use ", range));
}

void check_distribution(SamplingParameters const& s) {
  require(s.temperature >= 0 && std::isfinite(s.temperature), "temperature", s.temperature,
          "0 (greedy) or a positive number");
  require(s.top_p > 0 && s.top_p <= 1, "top_p", s.top_p, "a number above 0 and up to 1 (off)");
  require(s.top_k >= 0, "top_k", s.top_k, "0 (off) or a positive count");
  require(s.min_p >= 0 && s.min_p <= 1, "min_p", s.min_p, "a number from 0 (off) to 1");
}

void check_penalties(SamplingParameters const& s) {
  require(std::abs(s.presence_penalty) <= 2, "presence_penalty", s.presence_penalty, "a number from -2 to 2");
  require(std::abs(s.frequency_penalty) <= 2, "frequency_penalty", s.frequency_penalty, "a number from -2 to 2");
  require(s.repetition_penalty > 0 && std::isfinite(s.repetition_penalty), "repetition_penalty", s.repetition_penalty,
          "a positive number, 1 for none");
  for (auto const& [token, bias] : s.logit_bias)
    require(std::abs(bias) <= 100, text("logit_bias of token ", number(token)).c_str(), bias,
            "a number from -100 to 100");
}

void check_lengths(SamplingParameters const& s) {
  require(s.max_tokens >= 0, "max_tokens", s.max_tokens, "0 or a positive count");
  require(s.min_tokens >= 0 && s.min_tokens <= s.max_tokens, "min_tokens", s.min_tokens,
          text("a count from 0 to max_tokens (", s.max_tokens, ")").c_str());
  require(s.stop.size() <= 16, "number of stop strings", s.stop.size(), "at most 16");
  for (std::string const& stop : s.stop) require(!stop.empty(), "stop", "\"\"", "strings of at least one character");
  require(s.logprobs.value_or(0) >= 0, "logprobs", s.logprobs.value_or(0), "0 or a positive count");
  require(s.prompt_logprobs.value_or(0) >= 0, "prompt_logprobs", s.prompt_logprobs.value_or(0),
          "0 or a positive count");
  require(s.prompt_logprobs_start >= 0, "prompt_logprobs_start", s.prompt_logprobs_start, "0 or a positive position");
}

}  // namespace

void check(SamplingParameters const& sampling) {
  check_distribution(sampling);
  check_penalties(sampling);
  check_lengths(sampling);
}

}  // namespace windlass
