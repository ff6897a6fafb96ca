#include "src/serve/online/api_service.hpp"

#include <array>
#include <ctime>
#include <random>

#include "src/api/error_body.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/json_text.hpp"
#include "src/serve/online/dashboard.hpp"
#include "src/serve/online/openapi.hpp"
#include "src/serve/online/responses.hpp"
#include "src/serve/online/text_routes.hpp"
#include "src/serve/request_json.hpp"

namespace windlass {
namespace {

constexpr std::size_t max_waiting_work = 256;
constexpr std::string_view key_in_address = "key=";  ///< of the dashboard: browsers open pages without headers
constexpr int loading_retry_seconds = 5, draining_retry_seconds = 30;

enum class RouteNeeds : std::uint8_t { nothing, key, model };
enum class PathIs : std::uint8_t { whole, beginning };
enum class Runs : std::uint8_t { where_it_is, aside };  ///< aside: it reads or writes files

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t(device()) << 32) | device();
}

int status_of(ApiError::Details const& details) { return details.code == "model_not_found" ? 404 : details.status; }

/// Whether a list such as "GET, POST" has the method.
bool takes(std::string_view methods, std::string_view method) {
  std::size_t const at = methods.find(method);
  bool const ends =
      at != std::string_view::npos && (at + method.size() == methods.size() || methods[at + method.size()] == ',');
  return ends && !method.empty() && (at == 0 || methods[at - 1] == ' ');
}

HttpResponse response_of(ApiError::Details const& details) {
  return error_response(status_of(details), {.message = details.message, .param = details.param, .code = details.code});
}

}  // namespace

struct ApiService::Route {
  std::string_view path;
  PathIs path_is;
  std::string_view methods;  ///< "GET", or several with commas
  RouteNeeds needs;
  Reply (ApiService::*answer)(Route const& route, HttpRequest const& request);
  Runs runs = Runs::where_it_is;
  HttpResponse (FileRoutes::*about_files)(HttpRequest const& request) = nullptr;
  std::string_view end = {};  ///< of its paths, where they have one
};

ApiService::Route const* ApiService::find_route(std::string_view path) {
  using enum RouteNeeds;
  static std::array<Route, 21> const routes = {{
      {"/health", PathIs::whole, "GET", nothing, &ApiService::health},
      {"/version", PathIs::whole, "GET", key, &ApiService::version},
      {"/openapi.json", PathIs::whole, "GET", key, &ApiService::openapi},
      {"/metrics", PathIs::whole, "GET", key, &ApiService::metrics_text},
      {"/v1/models", PathIs::whole, "GET", model, &ApiService::models},
      {"/v1/models/", PathIs::beginning, "GET", model, &ApiService::models},
      {"/v1/completions", PathIs::whole, "POST", model, &ApiService::generate},
      {"/v1/chat/completions", PathIs::whole, "POST", model, &ApiService::generate},
      {"/v1/responses", PathIs::whole, "POST", model, &ApiService::respond_to_input},
      {"/v1/embeddings", PathIs::whole, "POST", key, &ApiService::embeddings},
      {"/tokenize", PathIs::whole, "POST", model, &ApiService::tokenize},
      {"/detokenize", PathIs::whole, "POST", model, &ApiService::detokenize},
      {"/tokenizer_info", PathIs::whole, "GET", model, &ApiService::tokenizer_info},
      {"/", PathIs::whole, "GET", key, &ApiService::dashboard},
      {"/ping", PathIs::whole, "GET", nothing, &ApiService::health},
      {"/v1/files", PathIs::whole, "GET, POST", key, &ApiService::files, Runs::aside, &FileRoutes::files},
      {"/v1/files/", PathIs::beginning, "GET", key, &ApiService::files, Runs::aside, &FileRoutes::file, "/content"},
      {"/v1/files/", PathIs::beginning, "GET, DELETE", key, &ApiService::files, Runs::aside, &FileRoutes::file},
      {"/v1/batches", PathIs::whole, "GET, POST", key, &ApiService::files, Runs::aside, &FileRoutes::batches},
      {"/v1/batches/", PathIs::beginning, "POST", key, &ApiService::files, Runs::aside, &FileRoutes::batch, "/cancel"},
      {"/v1/batches/", PathIs::beginning, "GET", key, &ApiService::files, Runs::aside, &FileRoutes::batch},
  }};
  for (Route const& route : routes)
    if (route.path_is == PathIs::whole ? path == route.path : path.starts_with(route.path) && path.ends_with(route.end))
      return &route;
  return nullptr;
}

ApiService::ApiService(ApiServiceConfig config, ApiKeys keys)
    : config_(std::move(config)),
      keys_(std::make_shared<ApiKeys const>(std::move(keys))),
      id_seed_(random_seed()),
      work_(max_waiting_work) {}

void ApiService::replace_keys(ApiKeys keys) {
  auto fresh = std::make_shared<ApiKeys const>(std::move(keys));
  std::lock_guard const lock(keys_mutex_);
  keys_ = std::move(fresh);
}

/// Finds out whose key it is; 401 where it is nobody's.
std::optional<HttpResponse> ApiService::refuse_stranger(HttpHead& head) {
  std::shared_ptr<ApiKeys const> keys;
  {
    std::lock_guard const lock(keys_mutex_);
    keys = keys_;
  }
  std::string_view const query = head.query;
  bool const in_address = head.path == "/" && head.authorization.empty() && query.starts_with(key_in_address);
  std::string const given =
      in_address ? text("Bearer ", query.substr(key_in_address.size())) : head.authorization;  // of a browser
  if (ApiUser const* const user = keys->find(given)) {
    head.user = user->name;
    head.limits = user->limits;
    return std::nullopt;
  }
  HttpResponse response = error_response(
      401, {.message = "no valid key; send the header 'Authorization: Bearer KEY'", .code = "invalid_api_key"});
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  metrics_.count_response("", 401);
  return response;
}

void ApiService::connect(PostToLoop post, std::function<int()> connections) {
  post_ = std::move(post);
  connections_ = std::move(connections);
}

std::optional<HttpResponse> ApiService::refuse(HttpHead& head) {
  Route const* const route = find_route(head.path);
  bool const open = route && (route->needs == RouteNeeds::nothing ||
                              (route->path == "/metrics" && config_.metrics == MetricsAccess::open));
  if (!open)
    if (auto stranger = refuse_stranger(head)) return stranger;
  if (!route) {
    metrics_.count_response("", 404);
    return error_response(404, {.message = "there is no route " + valid_utf8(head.path), .code = "not_found"});
  }
  if (!takes(route->methods, head.method)) {
    HttpResponse response =
        error_response(405, {.message = text(route->path, " takes ", route->methods), .code = "method_not_allowed"});
    response.headers.emplace_back("Allow", text(route->methods, takes(route->methods, "GET") ? ", HEAD" : ""));
    return response;
  }
  if (route->needs != RouteNeeds::model) return std::nullopt;
  ServedModel const* const model = model_;
  if (!model)
    return retry_later(503, {.message = "the model is being loaded", .code = "loading"}, loading_retry_seconds);
  if (model->engine->draining())
    return retry_later(503, {.message = "the server is draining: it ends soon", .code = "draining"},
                       draining_retry_seconds);
  return std::nullopt;
}

void ApiService::handle(HttpRequest request, std::shared_ptr<Exchange> exchange) {
  Route const& route = *find_route(request.head.path);  // refuse() found it
  bool const here = route.runs == Runs::where_it_is && request.body.size() <= config_.inline_body_bytes;
  if (here) return reply_to(route, request)(exchange);
  auto const shared = std::make_shared<HttpRequest>(std::move(request));
  bool const taken = work_.add([this, &route, shared, exchange] {
    post_(exchange->loop(), [reply = reply_to(route, *shared), exchange] { reply(exchange); });
  });
  if (!taken)
    exchange->respond(
        retry_later(429, {.message = "too many long requests wait; try again soon", .code = "queue_full"}, 1));
}

/// Runs a route; what it throws becomes an error response.
ApiService::Reply ApiService::reply_to(Route const& route, HttpRequest const& request) {
  try {
    return (this->*route.answer)(route, request);
  } catch (ApiError const& error) {
    return respond(route, response_of(error.details()));
  } catch (InputError const& error) {
    return respond(route, error_response(400, {.message = error.what(), .code = "invalid_value"}));
  } catch (std::exception const& error) {
    log_warning(text(route.path, " failed: ", error.what()));
    return respond(route, error_response(500, {.message = "the server failed at this request", .code = "failed"}));
  }
}

ApiService::Reply ApiService::respond(Route const& route, HttpResponse response) {
  metrics_.count_response(route.path, response.status);
  return [shared = std::make_shared<HttpResponse>(std::move(response))](auto const& exchange) {
    exchange->respond(std::move(*shared));
  };
}

ApiService::Reply ApiService::health(Route const& route, HttpRequest const&) {
  ServedModel const* const model = model_;
  char const* const status = !model ? "loading" : model->engine->draining() ? "draining" : "ok";
  HttpResponse response{.status = std::string_view(status) == "ok" ? 200 : 503,
                        .body = text("{\"status\":\"", status, "\"}")};
  if (response.status == 503) response.headers.emplace_back("Retry-After", "5");
  return respond(route, std::move(response));
}

ApiService::Reply ApiService::version(Route const& route, HttpRequest const&) {
  JsonText out;
  out.begin_object().member("version", config_.version).end_object();
  return respond(route, {.body = out.take()});
}

ApiService::Reply ApiService::openapi(Route const& route, HttpRequest const&) {
  return respond(route, {.body = openapi_document(config_.version)});
}

ApiService::Reply ApiService::metrics_text(Route const& route, HttpRequest const&) {
  ServerState state{.open_connections = connections_ ? connections_() : 0};
  if (ServedModel const* const model = model_) {
    state.model_name = model->name;
    state.engine = model->engine->counters();
    state.instances = model->engine->instances();
    state.open_requests = model->engine->open_requests();
  }
  return respond(route, {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics_.text(state)});
}

ApiService::Reply ApiService::dashboard(Route const& route, HttpRequest const&) {
  return respond(route, dashboard_response());
}

ApiService::Reply ApiService::tokenizer_info(Route const& route, HttpRequest const&) {
  return respond(route, {.body = tokenizer_info_body(*model_)});
}

ApiService::Reply ApiService::models(Route const& route, HttpRequest const& request) {
  std::string_view const path = request.head.path;
  return respond(route,
                 {.body = models_body(
                      *model_, route.path_is == PathIs::whole ? std::string_view{} : path.substr(route.path.size()))});
}

ApiService::Reply ApiService::tokenize(Route const& route, HttpRequest const& request) {
  return respond(route, {.body = tokenize_body(parse_strict_object(request.body), *model_)});
}

ApiService::Reply ApiService::detokenize(Route const& route, HttpRequest const& request) {
  return respond(route, {.body = detokenize_body(parse_strict_object(request.body), *model_)});
}

ApiService::Reply ApiService::files(Route const& route, HttpRequest const& request) {
  if (!config_.files)
    return respond(route,
                   error_response(501, {.message = "this server keeps no files", .code = "unsupported_endpoint"}));
  return respond(route, (config_.files->*route.about_files)(request));
}

ApiService::Reply ApiService::embeddings(Route const& route, HttpRequest const&) {
  return respond(route, error_response(400, {.message = "this model generates text; it has no embeddings",
                                             .param = "model",
                                             .code = "unsupported_endpoint"}));
}

ApiService::Reply ApiService::generate(Route const& route, HttpRequest const& request) {
  bool const chat = route.path == "/v1/chat/completions";
  BatchLine line{.endpoint = chat ? Endpoint::chat : Endpoint::completions, .body = parse_strict_object(request.body)};
  Tokenizer const* const tokenizer = model_.load()->rules.tokenizer;
  return begin(route, request.head, std::move(line), [tokenizer](RecordHead const& head, ApiRequest const& parsed) {
    return completion_form(head, parsed, tokenizer);
  });
}

ApiService::Reply ApiService::respond_to_input(Route const& route, HttpRequest const& request) {
  auto const body = std::make_shared<boost::json::object const>(parse_strict_object(request.body));
  BatchLine line{.endpoint = Endpoint::chat, .body = chat_of_response(*body)};
  return begin(route, request.head, std::move(line),
               [body](RecordHead const& head, ApiRequest const& parsed) { return response_form(head, parsed, *body); });
}

/// Checks the request and makes its prompts; the rest happens on its loop's thread.
ApiService::Reply ApiService::begin(Route const& route, HttpHead const& asked, BatchLine line,
                                    CompletionCall::MakeForm form) {
  Microseconds const arrived_us = now_us();
  ServedModel const& model = *model_;
  RecordHead head = new_head();
  auto parsed = std::make_shared<ApiRequest const>(parse_request(line, head.custom_id, model.rules));
  return [this, &model, &route, head, parsed, arrived_us, form = std::move(form), user = asked.user,
          limits = asked.limits](auto const& exchange) {
    auto admission = accounts_.enter(user, limits, now_us());
    if (admission.refusal) {
      metrics_.count_response(route.path, 429);
      return exchange->respond(retry_later(429, {.message = admission.refusal->message, .code = "rate_limit_exceeded"},
                                           admission.refusal->retry_seconds));
    }
    CallParts parts{.model = model,
                    .metrics = metrics_,
                    .exchange = exchange,
                    .visit = std::move(admission.visit),
                    .route = std::string(route.path),
                    .user = user,
                    .arrived_us = arrived_us,
                    .deadline_us = parsed->deadline_ms ? arrived_us + *parsed->deadline_ms * 1000 : never_us,
                    .accounting = config_.accounting};
    std::make_shared<CompletionCall>(std::move(parts), parsed, head, form)->start();
  };
}

void ApiService::count_batch_request(std::string const& user, BatchRequestEnd const& end) {
  FinishedRequest finished{.user = user,
                           .prompt_tokens = end.prompt_tokens,
                           .cached_tokens = end.answer.cached_tokens,
                           .seconds = end.seconds};
  for (Choice const& choice : end.answer.choices) {
    finished.generated_tokens += std::int64_t(choice.tokens.size());
    finished.finish_reasons.push_back(finish_reason_name(choice.finish));
  }
  metrics_.count_finished(finished);
  if (!config_.accounting) return;
  config_.accounting->add({.user = user,
                           .route = "/v1/batches",
                           .request_id = new_head().custom_id,
                           .prompt_tokens = finished.prompt_tokens,
                           .cached_tokens = finished.cached_tokens,
                           .generated_tokens = finished.generated_tokens,
                           .seconds = end.seconds});
}

RecordHead ApiService::new_head() {
  RecordHead head{.key = hash_text(text(++next_id_), {.low = id_seed_, .high = 0}),
                  .created_s = std::int64_t(std::time(nullptr))};
  head.custom_id = to_hex(head.key);
  return head;
}

}  // namespace windlass
