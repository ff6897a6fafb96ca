/// A request on its way from one engine to another.
#pragma once

#include <vector>

#include "src/engine/request.hpp"
#include "src/kv/sequence_pages.hpp"

namespace windlass {

/// A choice that goes on: everything else about it follows from the request and these tokens.
struct DetachedChoice {
  int choice = 0;
  std::vector<TokenId> tokens;             ///< generated so far
  std::vector<PositionLogprobs> logprobs;  ///< one per token where asked for
};

/// Whether the pages that come with a request may be indexed for later requests.
enum class PageOwner : std::uint8_t {
  engine,  ///< the engine's own: yes
  lender   ///< another process's, to be given back as soon as the request is done with them: no
};

struct DetachedRequest {
  Request request;
  Answer answer;  ///< what is known already: choices that have finished, the prompt's log-probabilities, times
  std::vector<DetachedChoice> choices;  ///< started, unfinished ones, rising; not empty
  int unfinished = 0;                   ///< of all choices, those that start with the first token included
  int computed = 0;                     ///< leading tokens whose KV lies in `pages`, the same for all choices
  SequencePages pages;                  ///< in the pools of the engine that it comes from, or is attached to
  PageOwner owner = PageOwner::engine;
};

}  // namespace windlass
