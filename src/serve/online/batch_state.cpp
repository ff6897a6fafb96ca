#include "src/serve/online/batch_state.hpp"

#include <array>
#include <boost/json.hpp>
#include <stdexcept>

#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

constexpr std::array statuses = {"validating", "in_progress", "finalizing", "completed",
                                 "failed",     "expired",     "cancelling", "cancelled"};
constexpr std::array times = {"in_progress_at", "expires_at", "finalizing_at", "completed_at",
                              "failed_at",      "expired_at", "cancelling_at", "cancelled_at"};

void write_id(JsonText& out, char const* name, std::string const& id) {
  out.key(name);
  if (id.empty())
    out.null();
  else
    out.value(id);
}

void write_problems(JsonText& out, std::vector<BatchProblem> const& problems) {
  out.key("errors");
  if (problems.empty()) {
    out.null();
    return;
  }
  out.begin_object().member("object", "list").key("data").begin_array();
  for (BatchProblem const& problem : problems) {
    out.begin_object().member("code", problem.code).member("message", problem.message).key("param").null().key("line");
    if (problem.line > 0)
      out.value(problem.line);
    else
      out.null();
    out.end_object();
  }
  out.end_array().end_object();
}

void write_batch(JsonText& out, BatchState const& batch) {
  out.member("id", batch.id).member("object", "batch").member("endpoint", batch.endpoint);
  write_problems(out, batch.problems);
  out.member("input_file_id", batch.input_file).member("completion_window", "24h");
  out.member("status", status_name(batch.status));
  write_id(out, "output_file_id", batch.output_file);
  write_id(out, "error_file_id", batch.error_file);
  out.member("created_at", batch.times.at("created_at"));
  for (char const* const name : times) {
    out.key(name);
    if (auto const at = batch.times.find(name); at != batch.times.end())
      out.value(at->second);
    else
      out.null();
  }
  out.key("request_counts").begin_object().member("total", batch.total).member("completed", batch.completed);
  out.member("failed", batch.failed).end_object().key("metadata").raw(json::serialize(batch.metadata));
}

std::string word(json::object const& object, char const* name) {
  json::value const* const found = object.if_contains(name);
  return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

BatchStatus status_of(std::string const& name) {
  for (std::size_t i = 0; i < statuses.size(); ++i)
    if (name == statuses[i]) return BatchStatus(i);
  throw std::runtime_error("'" + name + "' is no status");
}

}  // namespace

char const* status_name(BatchStatus status) { return statuses.at(std::size_t(status)); }

bool is_over(BatchStatus status) {
  return status == BatchStatus::completed || status == BatchStatus::failed || status == BatchStatus::expired ||
         status == BatchStatus::cancelled;
}

void BatchState::enter(BatchStatus next, std::int64_t now_s) {
  status = next;
  times[text(status_name(next), "_at")] = now_s;
}

std::string batch_json(BatchState const& batch) {
  JsonText out;
  out.begin_object();
  write_batch(out, batch);
  return out.end_object().take();
}

std::string stored_batch_json(BatchState const& batch) {
  JsonText out;
  out.begin_object().member("user", batch.user).member("seed", batch.seed);
  write_batch(out, batch);
  return out.end_object().take() + "\n";
}

BatchState parse_stored_batch(std::string_view content) {
  json::value const parsed = json::parse(json::string_view(content.data(), content.size()));
  json::object const& object = parsed.as_object();
  BatchState batch{.id = word(object, "id"),
                   .user = word(object, "user"),
                   .endpoint = word(object, "endpoint"),
                   .input_file = word(object, "input_file_id"),
                   .metadata = object.at("metadata").as_object(),
                   .status = status_of(word(object, "status")),
                   .times = {{"created_at", object.at("created_at").to_number<std::int64_t>()}},
                   .output_file = word(object, "output_file_id"),
                   .error_file = word(object, "error_file_id"),
                   .problems = {},
                   .seed = object.at("seed").to_number<std::uint64_t>()};
  for (char const* const name : times)
    if (object.at(name).is_number()) batch.times[name] = object.at(name).to_number<std::int64_t>();
  json::object const& counts = object.at("request_counts").as_object();
  batch.total = counts.at("total").to_number<std::int64_t>();
  batch.completed = counts.at("completed").to_number<std::int64_t>();
  batch.failed = counts.at("failed").to_number<std::int64_t>();
  if (object.at("errors").is_object())
    for (json::value const& each : object.at("errors").at("data").as_array()) {
      json::object const& problem = each.as_object();
      json::value const& line = problem.at("line");
      batch.problems.push_back({.code = word(problem, "code"),
                                .message = word(problem, "message"),
                                .line = line.is_number() ? line.to_number<std::int64_t>() : 0});
    }
  return batch;
}

}  // namespace windlass
