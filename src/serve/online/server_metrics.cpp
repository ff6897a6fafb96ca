#include "src/serve/online/server_metrics.hpp"

#include <algorithm>
#include <sstream>

#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {
namespace {

constexpr std::array<double, 20> first_token_bounds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5,
                                                       0.75,  1,     2.5,  5,    7.5,  10,   20,   40,  80,   160};
constexpr std::array<double, 16> token_bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                                 0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5};
constexpr std::array<double, 16> seconds_bounds = {0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 60, 240, 960};
constexpr std::array<double, 17> length_bounds = {1,   2,   5,   10,  20,  50,  100, 200, 500,
                                                  1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5};

/// A label's value: quotes, backslashes and line ends are escaped.
std::string label(std::string_view name, std::string_view value) {
  std::string out = text(name, "=\"");
  for (char const c : value) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + '"';
}

void describe(std::string& out, std::string_view name, std::string_view kind, std::string_view help) {
  out += text("# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n");
}

template <class Number>
void sample(std::string& out, std::string_view name, std::string const& labels, Number value) {
  std::ostringstream digits;
  digits.precision(12);
  digits << value;
  out += text(name, "{", labels, "} ", digits.str(), "\n");
}

}  // namespace

void MetricHistogram::add(double value) {
  auto const at = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[std::size_t(at)];
  sum_ += value;
}

void MetricHistogram::write(std::string& out, std::string_view name, std::string_view labels) const {
  std::uint64_t so_far = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    so_far += counts_[i];
    std::string const bound = i < bounds_.size() ? text(bounds_[i]) : "+Inf";
    sample(out, text(name, "_bucket"), text(labels, ",", label("le", bound)), so_far);
  }
  sample(out, text(name, "_sum"), std::string(labels), sum_);
  sample(out, text(name, "_count"), std::string(labels), so_far);
}

ServerMetrics::ServerMetrics()
    : first_token_(first_token_bounds),
      token_(token_bounds),
      seconds_(seconds_bounds),
      prompt_tokens_(length_bounds),
      generated_tokens_(length_bounds) {}

void ServerMetrics::count_response(std::string_view route, int status) {
  std::lock_guard const lock(mutex_);
  ++responses_[{std::string(route), status}];
}

void ServerMetrics::count_cancelled() {
  std::lock_guard const lock(mutex_);
  ++cancelled_;
}

void ServerMetrics::count_finished(FinishedRequest const& finished) {
  std::lock_guard const lock(mutex_);
  for (char const* const reason : finished.finish_reasons) ++finished_[reason];
  UserTotals& user = users_[finished.user];
  ++user.requests;
  user.prompt_tokens += finished.prompt_tokens;
  user.cached_tokens += finished.cached_tokens;
  user.generated_tokens += finished.generated_tokens;
  if (finished.first_token_seconds > 0) first_token_.add(finished.first_token_seconds);
  if (finished.token_seconds > 0) token_.add(finished.token_seconds);
  seconds_.add(finished.seconds);
  prompt_tokens_.add(double(finished.prompt_tokens));
  generated_tokens_.add(double(finished.generated_tokens));
}

std::string ServerMetrics::text(ServerState const& state) const {
  std::lock_guard const lock(mutex_);
  std::string out;
  write_engine(out, state);
  if (!state.instances.instances.empty()) write_instances(out, state.instances);
  write_requests(out, state);
  return out;
}

std::string ServerMetrics::users_report() const {
  std::lock_guard const lock(mutex_);
  JsonText out;
  out.begin_object();
  for (auto const& [user, totals] : users_) {
    out.key(user).begin_object().member("requests", totals.requests).member("prompt_tokens", totals.prompt_tokens);
    out.member("cached_tokens", totals.cached_tokens).member("completion_tokens", totals.generated_tokens).end_object();
  }
  out.end_object();
  return out.take();
}

void ServerMetrics::write_engine(std::string& out, ServerState const& state) const {
  std::string const model = label("model_name", state.model_name);
  EngineCounters const& engine = state.engine;
  auto const one = [&](char const* name, char const* kind, char const* help, double value) {
    describe(out, name, kind, help);
    sample(out, name, model, value);
  };
  double const used = engine.pages > 0 ? 1 - double(engine.free_pages) / double(engine.pages) : 0;
  one("vllm:num_requests_running", "gauge", "Sequences in the running batch.", engine.running);
  one("vllm:num_requests_waiting", "gauge", "Sequences that wait for room.", engine.waiting);
  one("vllm:kv_cache_usage_perc", "gauge", "Share of the KV pages that are in use or cached, 0 to 1.", used);
  one("vllm:prompt_tokens_total", "counter", "Prompt tokens computed.", double(engine.prompt_tokens));
  one("vllm:generation_tokens_total", "counter", "Tokens generated.", double(engine.generated_tokens));
  one("vllm:prefix_cache_hits_total", "counter", "Prompt tokens found in the prefix cache.",
      double(engine.cached_tokens));
  one("vllm:prefix_cache_queries_total", "counter", "Prompt tokens looked for in the prefix cache.",
      double(engine.cached_tokens + engine.prompt_tokens));
  one("vllm:num_preemptions_total", "counter", "Sequences that gave their pages back and were computed again.",
      double(engine.preemptions));
  one("windlass:engine_steps_total", "counter", "Forward passes.", double(engine.steps));
  one("windlass:engine_busy_seconds_total", "counter", "Time in forward passes.", double(engine.busy_us) * 1e-6);
  one("windlass:kv_pages", "gauge", "Pages of the KV pool.", engine.pages);
  one("windlass:kv_pages_free", "gauge", "Pages that hold nothing.", engine.free_pages);
  one("windlass:requests_open", "gauge", "Prompts that were accepted and are not answered.", state.open_requests);
  one("windlass:connections_open", "gauge", "Connections of clients.", state.open_connections);
}

/// Where there are several instances, what each one does.
void ServerMetrics::write_instances(std::string& out, InstancesView const& view) const {
  auto const each = [&](char const* name, char const* kind, char const* help, auto value_of) {
    describe(out, name, kind, help);
    for (std::size_t i = 0; i < view.instances.size(); ++i) {
      InstanceView const& one = view.instances[i];
      std::string const labels =
          windlass::text(label("instance", windlass::text(i)), ",", label("role", role_name(one.role)));
      sample(out, name, labels, value_of(one));
    }
  };
  using Self = InstanceView const&;
  each("windlass:instance_up", "gauge", "0: the instance is lost.", [](Self one) { return one.lost ? 0 : 1; });
  each("windlass:instance_running", "gauge", "Sequences in its batch.", [](Self one) { return one.running; });
  each("windlass:instance_waiting", "gauge", "Sequences that wait there.", [](Self one) { return one.waiting; });
  each("windlass:instance_kv_pages", "gauge", "Pages of its pool.", [](Self one) { return one.pages; });
  each("windlass:instance_kv_pages_free", "gauge", "Those that hold nothing.", [](Self one) { return one.free_pages; });
  each("windlass:instance_busy_seconds_total", "counter", "Its time in forward passes.",
       [](Self one) { return one.busy_seconds; });
  each("windlass:instance_prompt_tokens_total", "counter", "Prompt tokens that it computed.",
       [](Self one) { return one.prompt_tokens; });
  each("windlass:instance_generated_tokens_total", "counter", "Tokens that it generated.",
       [](Self one) { return one.generated_tokens; });
  auto const handoffs = [&](char const* name, char const* help, std::int64_t KvFlow::*member) {
    describe(out, name, "counter", help);
    sample(out, name, label("way", "shared"), view.shared.*member);
    sample(out, name, label("way", "copied"), view.copied.*member);
  };
  handoffs("windlass:kv_handoffs_total", "Requests whose KV went to a decode instance.", &KvFlow::requests);
  handoffs("windlass:kv_handoff_bytes_total", "Bytes of that KV; shared pages change hands in place.", &KvFlow::bytes);
  describe(out, "windlass:kv_handoffs_failed_total", "counter", "Handoffs whose prompts were computed again.");
  out += windlass::text("windlass:kv_handoffs_failed_total ", view.failed_handoffs, "\n");
  describe(out, "windlass:requests_restarted_total", "counter",
           "Requests that began again at the loss of an instance.");
  out += windlass::text("windlass:requests_restarted_total ", view.restarted_requests, "\n");
}

void ServerMetrics::write_requests(std::string& out, ServerState const& state) const {
  std::string const model = label("model_name", state.model_name);
  auto const histogram = [&](char const* name, char const* help, MetricHistogram const& values) {
    describe(out, name, "histogram", help);
    values.write(out, name, model);
  };
  describe(out, "vllm:request_success_total", "counter", "Choices that were finished, by reason.");
  for (auto const& [reason, count] : finished_)
    sample(out, "vllm:request_success_total", windlass::text(model, ",", label("finished_reason", reason)), count);
  histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token.", first_token_);
  histogram("vllm:request_time_per_output_token_seconds", "Mean time between a request's tokens.", token_);
  histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its end.", seconds_);
  histogram("vllm:request_prompt_tokens", "Tokens of a request's prompts.", prompt_tokens_);
  histogram("vllm:request_generation_tokens", "Tokens that a request's choices got.", generated_tokens_);
  describe(out, "windlass:requests_cancelled_total", "counter", "Requests whose client left.");
  sample(out, "windlass:requests_cancelled_total", model, cancelled_);
  describe(out, "windlass:responses_total", "counter", "HTTP responses by route and status.");
  for (auto const& [key, count] : responses_)
    sample(out, "windlass:responses_total",
           windlass::text(label("route", key.first), ",", label("status", windlass::text(key.second))), count);
  auto const per_user = [&](char const* name, char const* help, std::int64_t UserTotals::*member) {
    describe(out, name, "counter", help);
    for (auto const& [user, totals] : users_) sample(out, name, label("user", user), totals.*member);
  };
  per_user("windlass:user_requests_total", "Requests answered for a user.", &UserTotals::requests);
  per_user("windlass:user_prompt_tokens_total", "Prompt tokens of a user's requests.", &UserTotals::prompt_tokens);
  per_user("windlass:user_cached_tokens_total", "Those that were found in the cache.", &UserTotals::cached_tokens);
  per_user("windlass:user_generated_tokens_total", "Tokens generated for a user.", &UserTotals::generated_tokens);
}

}  // namespace windlass
