/// The tokens of one choice in order, however its deltas come.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "src/engine/request.hpp"

namespace windlass {

/// Deltas may overtake each other, and come again from the first one where a request starts again: the same tokens.
/// Local.
class ChoiceStream {
 public:
  /// Adds to `out` what is next now: nothing, this delta, or also those that came before it.
  void take(std::uint32_t first_token, ChoiceDelta delta, std::vector<ChoiceDelta>& out);
  /// Adds what has not been told of the finished choice; `place` has id, choice and, for the first, prompt_logprobs.
  void finish(Choice const& whole, ChoiceDelta place, std::vector<ChoiceDelta>& out);
  /// The request starts again.
  void forget_early() { early_.clear(); }

 private:
  void tell(ChoiceDelta delta, std::vector<ChoiceDelta>& out);

  std::uint32_t tokens_ = 0;    ///< told
  std::size_t text_bytes_ = 0;  ///< told
  bool finished_ = false;
  std::map<std::uint32_t, ChoiceDelta> early_;  ///< by first token: those before them have not come
};

}  // namespace windlass
