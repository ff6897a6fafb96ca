/// Models, goldens and a runner for tests of the engine.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "src/engine/engine.hpp"
#include "src/model/placed_load.hpp"

namespace windlass::testing_data {

inline std::string reference_path(std::string const& name) {
  return std::string(WINDLASS_SOURCE_DIR) + "/inputs/reference/" + name;
}

inline boost::json::value read_json(std::string const& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  std::stringstream text;
  text << in.rdbuf();
  boost::json::parse_options options;
  options.max_depth = 64;
  return boost::json::parse(text.str(), {}, options);
}

/// The demo model; tests/run.sh fetches it and sets the variable.
inline std::string demo_model() {
  char const* const path = std::getenv("WINDLASS_DEMO_MODEL");
  if (!path) throw std::runtime_error("WINDLASS_DEMO_MODEL is not set: run tests/run.sh, or jobs/fetch_demo_model.sh");
  return path;
}

inline std::vector<TokenId> token_ids(boost::json::value const& ids) {
  std::vector<TokenId> tokens;
  for (auto const& id : ids.as_array()) tokens.push_back(TokenId(id.to_number<std::uint32_t>()));
  return tokens;
}

inline std::vector<double> doubles(boost::json::value const& values) {
  std::vector<double> numbers;
  for (auto const& value : values.as_array()) numbers.push_back(value.is_null() ? 0 : value.to_number<double>());
  return numbers;
}

/// Everything that runs a model, in one place.
struct Runner {
  Runner(std::string const& path, Precision precision, Operations const& the_operations, int threads)
      : team({.threads = threads}),
        operations(the_operations),
        model(load_model({.path = path, .precision = precision}, WeightMemory{.space = the_operations.memory}, team)),
        config{.precision = precision, .kv_bytes = std::int64_t{64} << 20} {}

  /// Runs all requests to their end; answers by request id.
  std::map<RequestId, Answer> run(std::vector<Request> requests) {
    Engine engine(model, config, operations, collective, team);
    for (Request& request : requests) engine.submit(std::move(request));
    std::map<RequestId, Answer> answers;
    for (int steps = 0; !engine.idle() && steps < 100000; ++steps) {
      engine.step();
      for (Answer& answer : engine.take_answers()) answers.emplace(answer.id, std::move(answer));
    }
    for (Answer& answer : engine.take_answers()) answers.emplace(answer.id, std::move(answer));
    EXPECT_TRUE(engine.idle());
    counters = engine.counters();
    return answers;
  }

  ThreadTeam team;
  Operations const& operations;
  LocalCollective collective;
  Model model;
  EngineConfig config;
  EngineCounters counters;
};

inline Request greedy_request(std::uint64_t id, std::vector<TokenId> prompt, int max_tokens) {
  Request request{.id = RequestId{id}, .prompt = std::move(prompt)};
  request.sampling = {.temperature = 0, .max_tokens = max_tokens, .ignore_eos = true, .logprobs = 0};
  return request;
}

}  // namespace windlass::testing_data
