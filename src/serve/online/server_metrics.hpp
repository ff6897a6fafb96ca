/// What a server has done, in Prometheus' text format. Names are vLLM's where the meaning is the same.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/engine/engine.hpp"
#include "src/serve/instances_view.hpp"

namespace windlass {

/// Counts by upper bound, as Prometheus has them.
class MetricHistogram {
 public:
  explicit MetricHistogram(std::span<double const> bounds)
      : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {}
  void add(double value);
  /// `labels` such as model_name="x".
  void write(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::vector<double> bounds_;         ///< rising
  std::vector<std::uint64_t> counts_;  ///< [bounds + 1], of each bucket alone
  double sum_ = 0;
};

/// One finished request.
struct FinishedRequest {
  std::string user;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  double seconds = 0;                       ///< from its arrival to its last token
  double first_token_seconds = 0;           ///< from its arrival; 0: no token
  double token_seconds = 0;                 ///< between tokens; 0: fewer than two
  std::vector<char const*> finish_reasons;  ///< one per choice
};

/// What the other parts know when the metrics are asked for.
struct ServerState {
  std::string model_name;
  EngineCounters engine;
  InstancesView instances;
  int open_requests = 0, open_connections = 0;
};

/// Safe from any thread.
class ServerMetrics {
 public:
  ServerMetrics();
  void count_response(std::string_view route, int status);
  void count_finished(FinishedRequest const& finished);
  void count_cancelled();  ///< the client left
  std::string text(ServerState const& state) const;
  /// {"USER": {"requests", "prompt_tokens", "cached_tokens", "completion_tokens"}}.
  std::string users_report() const;

 private:
  struct UserTotals {
    std::int64_t requests = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  };
  void write_engine(std::string& out, ServerState const& state) const;
  void write_instances(std::string& out, InstancesView const& view) const;
  void write_requests(std::string& out, ServerState const& state) const;

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::int64_t> responses_;  ///< by route and status
  std::map<std::string, std::int64_t> finished_;                   ///< by finish reason
  std::map<std::string, UserTotals> users_;
  std::int64_t cancelled_ = 0;
  MetricHistogram first_token_, token_, seconds_, prompt_tokens_, generated_tokens_;
};

}  // namespace windlass
