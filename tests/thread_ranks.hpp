/// An instance of several ranks, here threads, that answers a fixed set of requests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "src/engine/follower.hpp"
#include "src/engine/forward_pass.hpp"
#include "src/model/model_files.hpp"
#include "src/model/shard.hpp"
#include "tests/engine_fixtures.hpp"
#include "tests/thread_collective.hpp"

namespace windlass::testing_data {

inline std::string model_path(std::string const& name) {
  std::string const folder = reference_path(name), file = folder + "/model.gguf";
  return std::filesystem::exists(file) ? file : folder;
}

/// Ranks exchange sums in the host's memory.
inline Operations const* fastest_on_host() {
  auto available = available_operations();
  while (available.back()->memory->space != MemorySpace::host) available.pop_back();
  return available.back();
}

struct Wanted {
  std::string model;
  Precision precision = Precision::fast;
  Operations const* operations = fastest_on_host();
  int tp = 1, stages = 1;
  int chunk_tokens = 64;
  std::size_t capacity = std::size_t{1} << 20;  ///< small ones cut every exchange into pieces
};

inline std::vector<Request> requests_for(ModelSpec const& spec) {
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) {
    std::vector<TokenId> prompt;
    for (int j = 0; j < 3 + 37 * i; ++j) prompt.push_back(TokenId(std::uint32_t((7 + i * 3 + j * 31) % spec.vocab)));
    Request request = greedy_request(std::uint64_t(i), std::move(prompt), 6);
    request.sampling.logprobs = 5;
    request.sampling.prompt_logprobs = 1;
    request.choices = i == 2 ? 3 : 1;  // their pages are copied
    if (i % 2 == 1) request.sampling.temperature = 0.9;
    requests.push_back(std::move(request));
  }
  return requests;
}

using Answers = std::map<RequestId, Answer>;

inline Answers run_leader(Engine& engine, std::vector<Request> requests) {
  for (Request& request : requests) engine.submit(std::move(request));
  Answers answers;
  while (!engine.idle()) engine.step();
  for (Answer& answer : engine.take_answers()) answers.emplace(answer.id, std::move(answer));
  engine.end_followers();
  return answers;
}

inline Answers answers_of(Wanted const& wanted) {
  ThreadInstance instance(wanted.tp, wanted.stages, wanted.capacity);
  Answers answers;
  auto const rank_main = [&](int rank) {
    ThreadTeam team({.threads = 1});
    auto const collective = instance.collective(rank);
    Model const model = load_network({.path = model_path(wanted.model),
                                      .precision = wanted.precision,
                                      .tensor_parallel = {.degree = wanted.tp, .rank = rank % wanted.tp},
                                      .pipeline = {.stages = wanted.stages, .stage = rank / wanted.tp}},
                                     team);
    EngineConfig const config{
        .precision = wanted.precision, .chunk_tokens = wanted.chunk_tokens, .kv_bytes = std::int64_t{4} << 20};
    if (rank == 0) {
      Engine engine(model, config, *wanted.operations, *collective, team);
      answers = run_leader(engine, requests_for(model.spec));
    } else {
      Follower follower(model, config, *wanted.operations, *collective, team);
      while (follower.step(10'000'000) == FollowerStep::computed) continue;
    }
  };
  std::vector<std::jthread> others;
  for (int rank = 1; rank < wanted.tp * wanted.stages; ++rank) others.emplace_back(rank_main, rank);
  rank_main(0);
  return answers;
}

inline void expect_equal(TokenLogprob const& a, TokenLogprob const& b) {
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.logprob, b.logprob);
}

inline void expect_equal(std::vector<PositionLogprobs> const& a, std::vector<PositionLogprobs> const& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    expect_equal(a[i].chosen, b[i].chosen);
    ASSERT_EQ(a[i].top.size(), b[i].top.size());
    for (std::size_t j = 0; j < a[i].top.size(); ++j) expect_equal(a[i].top[j], b[i].top[j]);
  }
}

/// Tokens and the bits of their log-probabilities, in which every logit of a row has a part.
inline void expect_equal(Answers const& a, Answers const& b) {
  ASSERT_EQ(a.size(), b.size());
  for (auto const& [id, answer] : a) {
    Answer const& other = b.at(id);
    ASSERT_EQ(answer.error, "");
    ASSERT_EQ(other.error, "");
    expect_equal(answer.prompt_logprobs, other.prompt_logprobs);
    ASSERT_EQ(answer.choices.size(), other.choices.size());
    for (std::size_t i = 0; i < answer.choices.size(); ++i) {
      EXPECT_EQ(answer.choices[i].tokens, other.choices[i].tokens);
      expect_equal(answer.choices[i].logprobs, other.choices[i].logprobs);
    }
  }
}

}  // namespace windlass::testing_data
