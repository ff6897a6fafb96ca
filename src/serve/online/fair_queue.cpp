#include "src/serve/online/fair_queue.hpp"

#include <algorithm>
#include <vector>

#include "src/policy/fair_turn.hpp"

namespace windlass {

void FairQueue::add(std::string const& name, Request request) {
  User& user = users_[name];
  if (user.waiting.empty()) {
    std::vector<WaitingUser> others;
    for (auto const& [other, state] : users_)
      if (!state.waiting.empty()) others.push_back({.served_tokens = state.served_tokens});
    if (others.empty()) others.push_back({.served_tokens = last_served_tokens_});
    user.served_tokens = served_when_waiting(user.served_tokens, others);
  }
  auto const at =
      std::upper_bound(user.waiting.begin(), user.waiting.end(), request.priority,
                       [](int priority, Waiting const& waiting) { return priority < waiting.request.priority; });
  user.waiting.insert(at, {.arrival = next_arrival_++, .request = std::move(request)});
  ++size_;
}

std::optional<Request> FairQueue::next(PlanLog* plan_log) {
  std::vector<WaitingUser> waiting;
  std::vector<User*> users;
  for (auto& [name, user] : users_) {
    if (user.waiting.empty()) continue;
    Waiting const& first = user.waiting.front();
    waiting.push_back(
        {.priority = first.request.priority, .served_tokens = user.served_tokens, .arrival = first.arrival});
    users.push_back(&user);
  }
  auto const turn = plan_fair_turn(waiting);
  if (plan_log != nullptr) plan_log->add(waiting, turn);
  if (!turn) return std::nullopt;
  User& user = *users[*turn];
  last_served_tokens_ = user.served_tokens;
  Request request = std::move(user.waiting.front().request);
  user.waiting.pop_front();
  user.served_tokens += std::int64_t(request.prompt.size());
  --size_;
  return request;
}

std::optional<Request> FairQueue::take(RequestId request) {
  for (auto& [name, user] : users_) {
    auto const at = std::find_if(user.waiting.begin(), user.waiting.end(),
                                 [&](Waiting const& one) { return one.request.id == request; });
    if (at == user.waiting.end()) continue;
    Request found = std::move(at->request);
    user.waiting.erase(at);
    --size_;
    return found;
  }
  return std::nullopt;
}

}  // namespace windlass
