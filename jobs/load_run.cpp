#include "jobs/load_run.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <memory>
#include <utility>

#include "src/api/event_reader.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

constexpr std::size_t kept_error_bytes = 300;

bool holds_text(json::object const& delta, char const* name) {
  json::value const* const found = delta.if_contains(name);
  return found &&
         ((found->is_string() && !found->as_string().empty()) || (found->is_array() && !found->as_array().empty()));
}

/// Whether a choice of a stream brings tokens: the first piece of a chat tells the role alone.
bool brings_tokens(json::value const& choice) {
  json::object const* const object = choice.if_object();
  if (!object) return false;
  json::value const* const delta = object->if_contains("delta");
  if (!delta || !delta->is_object()) return true;
  for (char const* const name : {"content", "reasoning_content", "reasoning", "tool_calls"})
    if (holds_text(delta->as_object(), name)) return true;
  return false;
}

std::int64_t count_in(json::object const& usage, char const* name) {
  json::value const* const found = usage.if_contains(name);
  return found && found->is_int64() ? found->as_int64() : 0;
}

class LoadRun;

/// One request on its way.
class LoadCall final : public ResponseListener {
 public:
  LoadCall(LoadRun& run, LoadOutcome& outcome) : run_(run), outcome_(outcome) {}
  void on_head(int status) override { status_ = status; }
  void on_body(std::string_view piece) override;
  void on_end(std::string const& problem) override;

 private:
  void take_event(std::string_view data);
  void take_usage(json::object const& usage);
  void take_tokens();

  LoadRun& run_;
  LoadOutcome& outcome_;
  EventReader events_;
  std::string error_body_;
  std::int64_t pieces_ = 0;
  int status_ = 0;
  bool complete_ = false;
};

class LoadRun {
 public:
  LoadRun(HttpClient& client, LoadConfig const& config, LoadPlan const& plan)
      : client_(client), config_(config), plan_(plan) {
    result_.outcomes.resize(plan.size());
  }

  LoadResult run() {
    result_.begun_us = now_us();
    send_due();
    client_.run([this] { return config_.stop && config_.stop(done_); });
    result_.ended_us = now_us();
    for (LoadOutcome& outcome : result_.outcomes) result_.ended_us = std::max(result_.ended_us, outcome.last_us);
    if (done_ < plan_.size()) leave_out_unfinished();
    return std::move(result_);
  }

  void call_ended() {
    ++done_;
    --running_;
    if (config_.max_concurrency > 0 && !timer_is_set_) send_due();
  }

 private:
  /// Sends what is due, and looks again when the next one is.
  void send_due() {
    timer_is_set_ = false;
    while (next_ < plan_.size()) {
      Microseconds const due_us = result_.begun_us + plan_[next_].at_us;
      bool const full = config_.max_concurrency > 0 && running_ >= config_.max_concurrency;
      if (full) return;
      if (due_us > now_us()) {
        timer_is_set_ = true;
        return client_.at(due_us, [this] { send_due(); });
      }
      send_next(due_us);
    }
  }

  void send_next(Microseconds due_us) {
    std::size_t const index = next_++;
    LoadOutcome& outcome = result_.outcomes[index];
    ClientRequest request{.method = "POST",
                          .route = config_.bodies.route == LoadRoute::chat ? "/chat/completions" : "/completions",
                          .body = request_body(config_.bodies, plan_[index], index),
                          .api_key = config_.api_key};
    Microseconds const sent_us = now_us();
    outcome.counted_from_us = config_.max_concurrency > 0 ? sent_us : due_us;
    outcome.late_us = sent_us - outcome.counted_from_us;
    outcome.error = "not over when the run was stopped";
    ++running_;
    client_.send(request, std::make_shared<LoadCall>(*this, outcome));
  }

  void leave_out_unfinished() {
    std::erase_if(result_.outcomes, [](LoadOutcome const& outcome) {
      return outcome.counted_from_us == 0 || outcome.error.starts_with("not over");
    });
  }

  HttpClient& client_;
  LoadConfig const& config_;
  LoadPlan const& plan_;
  LoadResult result_;
  std::size_t next_ = 0, done_ = 0;
  int running_ = 0;
  bool timer_is_set_ = false;
};

void LoadCall::on_body(std::string_view piece) {
  if (status_ == 200) return events_.take(piece, [this](std::string_view data) { take_event(data); });
  error_body_ += piece.substr(0, kept_error_bytes - std::min(error_body_.size(), kept_error_bytes));
}

void LoadCall::take_event(std::string_view data) {
  if (data == "[DONE]") {
    complete_ = true;
    return;
  }
  json::error_code failed;
  json::value const event = json::parse(json::string_view(data.data(), data.size()), failed);
  if (failed || !event.is_object()) {
    error_body_ = "an event that is no JSON object";
    return;
  }
  json::object const& object = event.as_object();
  if (object.contains("error")) error_body_ = std::string(data.substr(0, kept_error_bytes));
  if (json::value const* const usage = object.if_contains("usage"); usage && usage->is_object())
    take_usage(usage->as_object());
  json::value const* const choices = object.if_contains("choices");
  if (choices && choices->is_array() && std::ranges::any_of(choices->as_array(), brings_tokens)) take_tokens();
}

void LoadCall::take_usage(json::object const& usage) {
  outcome_.prompt_tokens = count_in(usage, "prompt_tokens");
  outcome_.output_tokens = count_in(usage, "completion_tokens");
  json::value const* const details = usage.if_contains("prompt_tokens_details");
  if (details && details->is_object()) outcome_.cached_tokens = count_in(details->as_object(), "cached_tokens");
}

void LoadCall::take_tokens() {
  Microseconds const now = now_us();
  if (pieces_++ > 0)
    outcome_.gaps_us.push_back(now - outcome_.last_us);
  else
    outcome_.first_us = now;
  outcome_.last_us = now;
}

void LoadCall::on_end(std::string const& problem) {
  if (outcome_.output_tokens == 0) outcome_.output_tokens = pieces_;
  if (!problem.empty())
    outcome_.error = "the server " + problem;
  else if (status_ != 200)
    outcome_.error = text("status ", status_, ": ", error_body_);
  else if (!error_body_.empty())
    outcome_.error = error_body_;
  else if (!complete_ || pieces_ == 0)
    outcome_.error = pieces_ == 0 ? "no token came" : "the stream ended without [DONE]";
  else
    outcome_.error.clear();
  run_.call_ended();
}

}  // namespace

LoadResult run_load(HttpClient& client, LoadConfig const& config, LoadPlan const& plan) {
  return LoadRun(client, config, plan).run();
}

}  // namespace windlass
