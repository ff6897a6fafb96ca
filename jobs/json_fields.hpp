/// Reading a JSON file with comments into typed fields, with errors that name the file, the field and what is allowed.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace windlass {

/// A file and what it holds; the content is kept so that errors can name lines.
struct JsonFile {
  std::string path, content;
  boost::json::value value;
};

/// Comments and trailing commas are allowed. Throws FileError, or InputError with file and line.
std::shared_ptr<JsonFile const> read_json_with_comments(std::string const& path);

/// The line, from 1, of the field that `where` names, such as "cluster.instances[0].tp", or of the nearest object
/// around it. `content` is JSON that was parsed before.
int line_of(std::string_view content, std::string_view where);

/// The first field that an object of a parsed file has twice, and its line.
struct RepeatedField {
  std::string path;
  int line;
};
std::optional<RepeatedField> repeated_field(std::string_view content);

/// Inclusive limits of a number.
struct Limits {
  double least, most;
};
constexpr Limits positive{1e-12, 1e15};
constexpr Limits not_negative{0, 1e15};
constexpr Limits count_limits{1, 1e9};

/// One object of the file. Every getter throws InputError: "scenario.json:7: cluster.instances[0].tp: …; allowed: …".
class JsonFields {
 public:
  /// The object that is the whole file.
  explicit JsonFields(std::shared_ptr<JsonFile const> const& file) : JsonFields(file, "", file->value) {}

  bool has(std::string_view name) const { return object_->if_contains(name) != nullptr; }
  double number(std::string_view name, Limits limits) const;
  double number_or(std::string_view name, double otherwise, Limits limits) const;
  std::int64_t integer(std::string_view name, Limits limits) const;
  std::int64_t integer_or(std::string_view name, std::int64_t otherwise, Limits limits) const;
  std::string text(std::string_view name) const;
  std::string text_or(std::string_view name, std::string otherwise) const;
  JsonFields object(std::string_view name) const;
  std::vector<JsonFields> objects(std::string_view name) const;
  std::vector<double> numbers(std::string_view name, std::size_t count) const;
  boost::json::value const& value(std::string_view name) const;

  /// One of the words.
  template <class Value>
  Value choice(std::string_view name, std::initializer_list<std::pair<std::string_view, Value>> allowed) const {
    std::string const word = text(name);
    std::string words;
    for (auto const& [each, value] : allowed) {
      if (each == word) return value;
      words += (words.empty() ? "" : ", ") + std::string(each);
    }
    fail(name, "\"" + word + "\" is not known", words);
  }
  template <class Value>
  Value choice_or(std::string_view name, Value otherwise,
                  std::initializer_list<std::pair<std::string_view, Value>> allowed) const {
    return has(name) ? choice(name, allowed) : otherwise;
  }

  /// Refuses fields that are not listed: a misspelt one must not pass for its default.
  void only(std::initializer_list<std::string_view> names) const;

  [[noreturn]] void fail(std::string_view name, std::string const& problem, std::string const& allowed) const;

  /// The text as a path: relative ones start at the folder of this file.
  std::string path(std::string_view name) const;

 private:
  /// `where` is the path of the object in the file, such as "cluster.link"; empty at the top.
  JsonFields(std::shared_ptr<JsonFile const> file, std::string where, boost::json::value const& value);
  std::string path_of(std::string_view name) const;

  std::shared_ptr<JsonFile const> file_;
  std::string where_;
  boost::json::object const* object_;
};

}  // namespace windlass
