#include "src/api/error_body.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace windlass {
namespace {

namespace json = boost::json;

char const* error_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 429) return "rate_limit_error";
  if (status >= 500) return "server_error";
  return "invalid_request_error";
}

json::value word_or_null(std::string const& word) { return word.empty() ? json::value(nullptr) : json::value(word); }

}  // namespace

std::string error_object(int status, ErrorDetails const& details) {
  json::object object;
  object["message"] = details.message;
  object["type"] = error_type(status);
  object["param"] = word_or_null(details.param);
  object["code"] = word_or_null(details.code);
  return json::serialize(object);
}

HttpResponse error_response(int status, ErrorDetails const& details) {
  return {.status = status, .body = "{\"error\":" + error_object(status, details) + "}"};
}

HttpResponse retry_later(int status, ErrorDetails const& details, int seconds) {
  HttpResponse response = error_response(status, details);
  response.headers.emplace_back("Retry-After", std::to_string(seconds));
  return response;
}

}  // namespace windlass
