#include "jobs/json_fields.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {

namespace json = boost::json;

std::shared_ptr<JsonFile const> read_json_with_comments(std::string const& path) {
  if (std::filesystem::is_directory(path)) throw InputError(path + ": is a folder; name a file");
  std::ifstream in(path);
  if (!in) throw FileError(path, "open", errno);
  std::stringstream buffer;
  buffer << in.rdbuf();
  auto file = std::make_shared<JsonFile>(JsonFile{.path = path, .content = buffer.str(), .value = {}});
  json::parse_options options;
  options.allow_comments = true;
  options.allow_trailing_commas = true;
  json::stream_parser parser({}, options);
  json::error_code error;
  std::size_t const consumed = parser.write_some(file->content, error);
  if (!error) parser.finish(error);
  std::size_t const rest = file->content.find_first_not_of(" \t\r\n", consumed);
  if (!error && rest == std::string::npos) {
    file->value = parser.release();
    if (auto const twice = repeated_field(file->content))
      throw InputError(text(path, ":", twice->line, ": ", twice->path, ": is given twice; allowed: once"));
    return file;
  }
  auto const begin = file->content.begin(), end = begin + std::ptrdiff_t(std::min(consumed, file->content.size()));
  auto const line = std::count(begin, end, '\n') + 1;
  throw InputError(text(path, ":", line, ": is not JSON (", error ? error.message() : "text after the end",
                        "); comments and trailing commas are allowed, quotes around names are needed"));
}

JsonFields::JsonFields(std::shared_ptr<JsonFile const> file, std::string where, json::value const& value)
    : file_(std::move(file)), where_(std::move(where)), object_(value.if_object()) {
  if (object_ != nullptr) return;
  throw InputError(windlass::text(file_->path, ":", line_of(file_->content, where_), ": ",
                                  where_.empty() ? "the file" : where_, " must be an object { … }"));
}

std::string JsonFields::path_of(std::string_view name) const {
  return where_ + (where_.empty() ? "" : ".") + std::string(name);
}

void JsonFields::fail(std::string_view name, std::string const& problem, std::string const& allowed) const {
  std::string const field = path_of(name);
  throw InputError(windlass::text(file_->path, ":", line_of(file_->content, field), ": ", field, ": ", problem,
                                  "; allowed: ", allowed));
}

std::string JsonFields::path(std::string_view name) const {
  std::filesystem::path const given = text(name);
  return given.is_absolute() ? given.string() : (std::filesystem::path(file_->path).parent_path() / given).string();
}

json::value const& JsonFields::value(std::string_view name) const {
  auto const* found = object_->if_contains(name);
  if (found != nullptr) return *found;
  std::string names;
  for (auto const& member : *object_) names += (names.empty() ? "" : ", ") + std::string(member.key());
  fail(name, "is missing", "a value; given here: " + (names.empty() ? std::string("nothing") : names));
}

double JsonFields::number(std::string_view name, Limits limits) const {
  json::value const& found = value(name);
  std::string const allowed = windlass::text("a number from ", limits.least, " to ", limits.most);
  if (!found.is_number()) fail(name, windlass::text("is ", found), allowed);
  double const number = found.to_number<double>();
  if (!(number >= limits.least && number <= limits.most)) fail(name, windlass::text("is ", number), allowed);
  return number;
}

double JsonFields::number_or(std::string_view name, double otherwise, Limits limits) const {
  return has(name) ? number(name, limits) : otherwise;
}

std::int64_t JsonFields::integer(std::string_view name, Limits limits) const {
  double const found = number(name, limits);
  if (found != std::floor(found)) fail(name, windlass::text("is ", found), "a whole number");
  return std::int64_t(found);
}

std::int64_t JsonFields::integer_or(std::string_view name, std::int64_t otherwise, Limits limits) const {
  return has(name) ? integer(name, limits) : otherwise;
}

std::string JsonFields::text(std::string_view name) const {
  json::value const& found = value(name);
  if (!found.is_string()) fail(name, windlass::text("is ", found), "a text in quotes");
  return std::string(found.as_string());
}

std::string JsonFields::text_or(std::string_view name, std::string otherwise) const {
  return has(name) ? text(name) : std::move(otherwise);
}

JsonFields JsonFields::object(std::string_view name) const { return {file_, path_of(name), value(name)}; }

std::vector<JsonFields> JsonFields::objects(std::string_view name) const {
  auto const* array = value(name).if_array();
  if (array == nullptr || array->empty()) fail(name, "is no list or an empty one", "[ { … }, … ]");
  std::vector<JsonFields> all;
  for (std::size_t i = 0; i < array->size(); ++i)
    all.push_back({file_, windlass::text(path_of(name), "[", i, "]"), (*array)[i]});
  return all;
}

std::vector<double> JsonFields::numbers(std::string_view name, std::size_t count) const {
  auto const* array = value(name).if_array();
  bool const fits = array != nullptr && array->size() == count &&
                    std::all_of(array->begin(), array->end(), [](json::value const& each) { return each.is_number(); });
  if (!fits) fail(name, windlass::text("is ", value(name)), windlass::text("a list of ", count, " numbers"));
  std::vector<double> all;
  for (json::value const& each : *array) all.push_back(each.to_number<double>());
  return all;
}

void JsonFields::only(std::initializer_list<std::string_view> names) const {
  for (auto const& member : *object_) {
    std::string_view const key(member.key().data(), member.key().size());
    if (std::find(names.begin(), names.end(), key) != names.end()) continue;
    std::string allowed;
    for (std::string_view const name : names) allowed += (allowed.empty() ? "" : ", ") + std::string(name);
    fail(key, "is no field here", allowed);
  }
}

}  // namespace windlass
