#include <algorithm>
#include <cmath>

#include "src/sim/workload.hpp"

namespace windlass {
namespace {

struct Conversation {
  std::int32_t session, document;
  std::int32_t document_tokens;
  std::int32_t said_tokens;  ///< prompt and output so far
};

constexpr std::uint64_t content_stream = 11, choice_stream = 12, arrival_stream = 13, document_stream = 14;

class Speaker {
 public:
  explicit Speaker(ConversationRecipe const& recipe) : recipe_(recipe), choices_(recipe.seed, choice_stream) {
    for (std::int64_t i = 0; i < recipe.documents; ++i) {
      total_ += std::pow(double(i + 1), -recipe.zipf_exponent);
      popularity_.push_back(total_);
      RandomStream lengths(recipe.seed + std::uint64_t(i), document_stream);
      document_tokens_.push_back(std::int32_t(lengths.log_normal(recipe.document_tokens, recipe.document_tokens)) + 1);
    }
  }

  SimRequest next() {
    Conversation& spoken = choose();
    auto const question = std::int32_t(choices_.exponential(recipe_.question_tokens)) + 1;
    SimRequest request;
    request.lengths = {.prompt_tokens = spoken.said_tokens + question,
                       .output_tokens = std::int32_t(choices_.exponential(recipe_.output_tokens)) + 1};
    request.session = spoken.session;
    spoken.said_tokens = request.lengths.prompt_tokens + request.lengths.output_tokens;
    request.block_hashes = hashes(spoken, request.lengths.prompt_tokens);
    request.whole_hashes = hashes(spoken, spoken.said_tokens);
    return request;
  }

 private:
  Conversation& choose() {
    bool const follow_up = choices_.uniform() < recipe_.follow_up_share && !conversations_.empty();
    if (follow_up) {
      std::size_t const recent = std::min<std::size_t>(conversations_.size(), 200);
      auto& old = conversations_[conversations_.size() - 1 - choices_.below(recent)];
      if (old.said_tokens < recipe_.max_tokens) return old;
    }
    auto const found = std::lower_bound(popularity_.begin(), popularity_.end(), choices_.uniform() * total_);
    auto const document = std::size_t(found - popularity_.begin());
    conversations_.push_back({.session = std::int32_t(conversations_.size()),
                              .document = std::int32_t(document),
                              .document_tokens = document_tokens_[document],
                              .said_tokens = document_tokens_[document]});
    return conversations_.back();
  }

  /// A full block of the document is the same in every conversation about it, any other block belongs to one.
  std::vector<std::uint64_t> hashes(Conversation const& spoken, std::int32_t tokens) const {
    std::vector<std::uint64_t> all;
    for (std::int32_t i = 0; (i + 1) * recipe_.block_tokens <= tokens; ++i) {
      bool const shared = (i + 1) * recipe_.block_tokens <= spoken.document_tokens;
      auto const owner = std::uint64_t(shared ? spoken.document : spoken.session) * 2 + (shared ? 0 : 1);
      all.push_back(random_bits(recipe_.seed ^ content_stream, owner, std::uint64_t(i)));
    }
    return all;
  }

  ConversationRecipe const& recipe_;
  RandomStream choices_;
  double total_ = 0;
  std::vector<double> popularity_;
  std::vector<std::int32_t> document_tokens_;
  std::vector<Conversation> conversations_;
};

}  // namespace

Workload make_conversations(ConversationRecipe const& recipe) {
  Speaker speaker(recipe);
  Workload workload;
  RandomStream arrivals(recipe.seed, arrival_stream);
  double const variation = recipe.arrivals.variation, mean_s = 1 / recipe.arrivals.rate_per_s;
  double time_s = 0;
  for (std::int64_t i = 0; i < recipe.requests; ++i) {
    workload.push_back(speaker.next());
    workload.back().arrival_us = std::llround(time_s * 1e6);
    double const square = variation * variation;
    time_s += variation == 0 ? mean_s : arrivals.gamma(1 / square, square * mean_s);
  }
  return workload;
}

}  // namespace windlass
