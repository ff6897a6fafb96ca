#include "src/serve/choice_stream.hpp"

#include <algorithm>
#include <utility>

namespace windlass {

void ChoiceStream::take(std::uint32_t first_token, ChoiceDelta delta, std::vector<ChoiceDelta>& out) {
  if (finished_ || first_token < tokens_) return;  // told already; what is left comes with the answer
  if (first_token > tokens_) {
    early_.insert_or_assign(first_token, std::move(delta));
    return;
  }
  tell(std::move(delta), out);
  for (auto next = early_.begin(); next != early_.end() && next->first <= tokens_; next = early_.erase(early_.begin()))
    if (next->first == tokens_ && !finished_) tell(std::move(next->second), out);
}

void ChoiceStream::finish(Choice const& whole, ChoiceDelta place, std::vector<ChoiceDelta>& out) {
  if (finished_) return;
  if (tokens_ > 0) place.prompt_logprobs.clear();
  auto const told = std::ptrdiff_t(std::min<std::size_t>(tokens_, whole.tokens.size()));
  place.tokens.assign(whole.tokens.begin() + told, whole.tokens.end());
  place.text = whole.text.substr(std::min(text_bytes_, whole.text.size()));
  if (whole.logprobs.size() == whole.tokens.size())
    place.logprobs.assign(whole.logprobs.begin() + told, whole.logprobs.end());
  place.finish = whole.finish;
  tell(std::move(place), out);
}

void ChoiceStream::tell(ChoiceDelta delta, std::vector<ChoiceDelta>& out) {
  tokens_ += std::uint32_t(delta.tokens.size());
  text_bytes_ += delta.text.size();
  finished_ = delta.finish.has_value();
  out.push_back(std::move(delta));
}

}  // namespace windlass
