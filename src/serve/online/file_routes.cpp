#include "src/serve/online/file_routes.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <map>
#include <optional>

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/fields.hpp"
#include "src/serve/json_text.hpp"
#include "src/serve/online/multipart.hpp"
#include "src/serve/request_json.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

constexpr std::string_view files_path = "/v1/files/", batches_path = "/v1/batches/";
constexpr std::int64_t seconds_of_a_day = 86'400;
constexpr std::size_t max_name_bytes = 255, max_metadata = 16, max_metadata_key = 64, max_metadata_value = 512;

[[noreturn]] void not_found(std::string const& what, std::string const& id) {
  throw ApiError({.message = text("there is no ", what, " '", valid_utf8(id.substr(0, 80)), "'"),
                  .code = "not_found",
                  .status = 404});
}

void write_file(JsonText& out, StoredFile const& file) {
  out.begin_object().member("id", file.id).member("object", "file").member("bytes", file.bytes);
  out.member("created_at", file.created_s).member("filename", file.name).member("purpose", file.purpose);
  out.member("status", "processed").end_object();
}

HttpResponse file_response(StoredFile const& file) {
  JsonText out;
  write_file(out, file);
  return {.body = out.take()};
}

/// The query's parameters; what is written %XX stays so, since none of ours needs it.
std::map<std::string, std::string> query_of(HttpRequest const& request) {
  std::map<std::string, std::string> all;
  std::string_view query = request.head.query;
  while (!query.empty()) {
    std::string_view const one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(one.size() + 1, query.size()));
    std::size_t const equals = std::min(one.find('='), one.size());
    if (one.empty()) continue;
    std::string const name(one.substr(0, equals));
    if (!all.emplace(name, one.substr(std::min(equals + 1, one.size()))).second)
      throw ApiError({.message = text("'", valid_utf8(name), "' comes twice in the address; give it once"),
                      .param = valid_utf8(name),
                      .code = "invalid_value"});
  }
  return all;
}

struct Page {
  std::size_t limit;
  std::string after;  ///< the id in front of the first one; empty: from the beginning
  bool newest_first = true;
};

Page page_of(std::map<std::string, std::string>& query, std::size_t usual, std::size_t most) {
  Page page{.limit = usual, .after = query["after"], .newest_first = query["order"] != "asc"};
  if (std::string const& order = query["order"]; !order.empty() && order != "asc" && order != "desc")
    throw ApiError({.message = text("'order' is '", valid_utf8(order.substr(0, 80)), "'; give \"asc\" or \"desc\""),
                    .param = "order",
                    .code = "invalid_value"});
  if (!query.contains("limit")) return page;
  std::string const limit = query["limit"];
  auto const [end, failed] = std::from_chars(limit.data(), limit.data() + limit.size(), page.limit);
  if (failed != std::errc{} || end != limit.data() + limit.size() || page.limit < 1 || page.limit > most)
    throw ApiError(
        {.message = text("'limit' is '", valid_utf8(limit.substr(0, 80)), "'; give a number from 1 to ", most),
         .param = "limit",
         .code = "invalid_value"});
  return page;
}

/// One page of a list that is sorted oldest first.
template <class Item, class Write>
HttpResponse list_response(std::vector<Item> items, Page const& page, Write write) {
  if (page.newest_first) std::ranges::reverse(items);
  auto first = items.begin();
  if (!page.after.empty()) {
    first = std::ranges::find(items, page.after, &Item::id);
    if (first != items.end()) ++first;
  }
  auto const last = first + std::min<std::ptrdiff_t>(std::ptrdiff_t(page.limit), items.end() - first);
  JsonText out;
  out.begin_object().member("object", "list").key("data").begin_array();
  for (auto item = first; item != last; ++item) write(out, *item);
  out.end_array().member("has_more", last != items.end());
  if (first != last) out.member("first_id", first->id).member("last_id", std::prev(last)->id);
  return {.body = out.end_object().take()};
}

/// What stands behind the route's path: an id, and maybe a verb.
std::pair<std::string, std::string> id_and_verb(HttpRequest const& request, std::string_view route) {
  std::string const rest = request.head.path.substr(route.size());
  std::size_t const slash = std::min(rest.find('/'), rest.size());
  return {rest.substr(0, slash), rest.substr(slash)};
}

/// At most 16 pairs of short texts.
boost::json::object metadata_of(Fields const& fields) {
  boost::json::object const* const metadata = fields.object("metadata");
  if (!metadata) return {};
  bool proper = metadata->size() <= max_metadata;
  for (auto const& [key, value] : *metadata)
    proper =
        proper && key.size() <= max_metadata_key && value.is_string() && value.as_string().size() <= max_metadata_value;
  if (!proper) fields.refuse("metadata", "at most 16 texts of 512 bytes, with names of 64");
  return *metadata;
}

}  // namespace

HttpResponse FileRoutes::files(HttpRequest const& request) {
  if (request.head.method == "POST") return upload(request);
  auto query = query_of(request);
  Page const page = page_of(query, 10'000, 10'000);
  auto found = files_.list(request.head.user);
  if (!query["purpose"].empty())
    std::erase_if(found, [&](StoredFile const& file) { return file.purpose != query["purpose"]; });
  return list_response(std::move(found), page, write_file);
}

HttpResponse FileRoutes::upload(HttpRequest const& request) {
  std::optional<FormPart> file;
  std::string purpose;
  for (FormPart const& part : parse_multipart(request.head.content_type, request.body)) {
    if (part.name == "file") file = part;
    if (part.name == "purpose") purpose = part.content;
  }
  if (!file) throw ApiError({.message = "the form has no 'file'", .param = "file", .code = "missing_field"});
  if (purpose != "batch")
    throw ApiError({.message = text("'purpose' is '", valid_utf8(purpose.substr(0, 80)),
                                    "'; this server keeps files for \"batch\" alone"),
                    .param = "purpose",
                    .code = "invalid_value"});
  if (file->content.empty()) throw ApiError({.message = "the file is empty", .param = "file", .code = "invalid_value"});
  std::string const name = file->file_name.empty() ? "file" : file->file_name;
  if (name.size() > max_name_bytes)
    throw ApiError({.message = "the file's name has more than 255 bytes", .param = "file", .code = "invalid_value"});
  return file_response(
      files_.add({.id = "", .user = request.head.user, .name = name, .purpose = purpose}, file->content));
}

HttpResponse FileRoutes::file(HttpRequest const& request) {
  auto const [id, verb] = id_and_verb(request, files_path);
  auto const found = files_.find(request.head.user, id);
  if (!found || !(verb.empty() || verb == "/content")) not_found("file", id + verb);
  if (verb == "/content") {
    auto content = read_small_file(files_.content_path(id));
    if (!content) not_found("file", id);
    return {.content_type = "application/octet-stream", .body = std::move(*content)};
  }
  if (request.head.method != "DELETE") return file_response(*found);
  files_.remove(request.head.user, id);
  JsonText out;
  out.begin_object().member("id", id).member("object", "file").member("deleted", true).end_object();
  return {.body = out.take()};
}

HttpResponse FileRoutes::batches(HttpRequest const& request) {
  if (request.head.method == "POST") return create(request);
  auto query = query_of(request);
  Page const page = page_of(query, 20, 100);
  return list_response(batches_.list(request.head.user), page,
                       [](JsonText& out, BatchState const& batch) { out.raw(batch_json(batch)); });
}

HttpResponse FileRoutes::create(HttpRequest const& request) {
  boost::json::object const body = parse_strict_object(request.body);
  Fields const fields(body);
  BatchState batch{.user = request.head.user,
                   .endpoint = fields.string("endpoint").value_or(""),
                   .input_file = fields.string("input_file_id").value_or(""),
                   .metadata = metadata_of(fields),
                   .problems = {}};
  if (batch.endpoint != "/v1/completions" && batch.endpoint != "/v1/chat/completions")
    fields.refuse("endpoint", "\"/v1/completions\" or \"/v1/chat/completions\"");
  if (fields.string("completion_window").value_or("") != "24h") fields.refuse("completion_window", "\"24h\"");
  auto const input = files_.find(batch.user, batch.input_file);
  if (!input || input->purpose != "batch")
    fields.refuse("input_file_id", "the id of a file of yours with the purpose batch");
  std::int64_t const now_s = std::int64_t(std::time(nullptr));
  batch.times = {{"created_at", now_s}, {"expires_at", now_s + seconds_of_a_day}};
  batch.seed = hash_text(random_id("")).low;
  return {.body = batch_json(batches_.create(std::move(batch)))};
}

HttpResponse FileRoutes::batch(HttpRequest const& request) {
  auto const [id, verb] = id_and_verb(request, batches_path);
  if (!(verb.empty() || verb == "/cancel")) not_found("route", request.head.path);
  bool const cancels = verb == "/cancel";
  auto const found = cancels ? batches_.cancel(request.head.user, id) : batches_.find(request.head.user, id);
  if (!found) not_found("batch", id);
  return {.body = batch_json(*found)};
}

}  // namespace windlass
