#include "jobs/server_access.hpp"

#include <boost/json.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <cerrno>
#include <filesystem>

#include "jobs/option_parsing.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;
namespace json = boost::json;

constexpr char const* usual_endpoint_file = "windlass-endpoint.json";

std::string member(json::object const& object, char const* name) {
  json::value const* const found = object.if_contains(name);
  return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

/// What an error response says, or its first bytes.
std::string problem_of(WholeResponse const& response) {
  json::error_code failed;
  json::value const body = json::parse(response.body, failed);
  if (!failed && body.is_object())
    if (json::value const* const error = body.as_object().if_contains("error"); error && error->is_object())
      return member(error->as_object(), "message");
  return response.body.substr(0, 200);
}

}  // namespace

void add_access_options(po::options_description& options) {
  options.add_options()("base-url", po::value<std::string>()->default_value(""),
                        "the server, such as http://127.0.0.1:8000/v1; default: the endpoint file, OPENAI_BASE_URL, or "
                        "windlass-endpoint.json in this folder");
  options.add_options()("endpoint-file", po::value<std::string>()->default_value(""),
                        "take address and key from this file, which windlass serve has written");
  options.add_options()("ca-file", po::value<std::string>()->default_value(""),
                        "PEM certificates that https trusts; default: the endpoint file's, or the system's");
  options.add_options()("api-key-env", po::value<std::string>()->default_value("OPENAI_API_KEY"),
                        "environment variable that holds the key");
}

ServerAccess read_endpoint_file(std::string const& path) {
  auto const content = read_small_file(path);
  if (!content) throw FileError(path, "read the endpoint file; is the server running?", ENOENT);
  json::error_code failed;
  json::value const parsed = json::parse(*content, failed);
  if (failed || !parsed.is_object()) throw InputError(text(path, " is no endpoint file of windlass serve"));
  json::object const& object = parsed.as_object();
  std::string const url = member(object, "base_url"), socket = member(object, "socket");
  if (url.empty() && socket.empty()) throw InputError(text(path, " has neither base_url nor socket"));
  ServerAccess access{.address = {},
                      .shown = url.empty() ? socket : url,
                      .api_key = member(object, "api_key"),
                      .model = member(object, "model")};
  if (url.empty())
    access.address = {.host = "", .socket_path = socket, .path = "/v1"};
  else
    access.address = parse_server_url(url);
  access.address.ca_file = member(object, "certificate");
  return access;
}

ServerAccess server_access(po::variables_map const& values) {
  std::string url = values["base-url"].as<std::string>();
  std::string file = values["endpoint-file"].as<std::string>();
  if (!url.empty() && !file.empty()) throw InputError("--base-url and --endpoint-file both name a server; give one");
  if (url.empty() && file.empty()) url = process_environment()("OPENAI_BASE_URL").value_or("");
  if (url.empty() && file.empty() && std::filesystem::exists(usual_endpoint_file)) file = usual_endpoint_file;
  if (url.empty() && file.empty())
    throw InputError(text("which server? give --base-url or --endpoint-file (there is no ", usual_endpoint_file,
                          " in this folder)"));
  auto const key = process_environment()(values["api-key-env"].as<std::string>().c_str());
  std::string const ca_file = values["ca-file"].as<std::string>();
  if (url.empty()) {
    ServerAccess access = read_endpoint_file(file);
    if (access.api_key.empty()) access.api_key = key.value_or("");
    if (!ca_file.empty()) access.address.ca_file = ca_file;
    return access;
  }
  ServerAccess access{.address = parse_server_url(url), .shown = url, .api_key = key.value_or(""), .model = ""};
  access.address.ca_file = ca_file;
  return access;
}

std::string first_model(HttpClient& client, std::string const& api_key) {
  WholeResponse const response = ask(client, {.route = "/models", .body = "", .api_key = api_key});
  if (response.status == 401)
    throw InputError(
        text("the server takes this key not: ", problem_of(response), "; set OPENAI_API_KEY, or give --endpoint-file"));
  if (response.status != 200)
    throw InputError(text("the server lists no models (status ", response.status, ": ", problem_of(response),
                          "); does its address end with /v1?"));
  json::error_code failed;
  json::value const body = json::parse(response.body, failed);
  json::value const* const data = !failed && body.is_object() ? body.as_object().if_contains("data") : nullptr;
  if (!data || !data->is_array() || data->as_array().empty() || !data->as_array().front().is_object())
    throw InputError("the server lists no models; name one with --model");
  return member(data->as_array().front().as_object(), "id");
}

}  // namespace windlass
