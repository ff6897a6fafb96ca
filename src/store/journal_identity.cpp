#include "src/store/journal_identity.hpp"

#include <boost/json.hpp>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
constexpr int side_format = 1;

/// Reads fields of one object; `where` names it in messages.
struct FieldReader {
  json::object const& object;
  std::string where;

  json::value const& at(char const* key) const {
    if (auto const* value = object.if_contains(key)) return *value;
    throw InputError(text(where, ": the field '", key,
                          "' is missing (the file is damaged); use --overwrite to start "
                          "anew, which drops the answers in the output file"));
  }
  template <class T>
  T get(char const* key) const {
    try {
      return json::value_to<T>(at(key));
    } catch (std::exception const&) {
      throw InputError(text(where, ": the field '", key, "' has the wrong type; use --overwrite to start anew"));
    }
  }
  FieldReader child(char const* key) const {
    if (auto const* found = at(key).if_object()) return {*found, text(where, ": ", key)};
    throw InputError(text(where, ": the field '", key, "' is not an object; use --overwrite to start anew"));
  }
};

std::string shown(std::string const& value) { return value.empty() ? "none" : value; }

std::string model_difference(JournalIdentity const& recorded, JournalIdentity const& now) {
  if (recorded.model_identity == now.model_identity) return {};
  return text("\n  model: was ", recorded.model_path, " (", recorded.model_identity, "), is ", now.model_path, " (",
              now.model_identity, ")");
}

std::string input_difference(JournalIdentity const& recorded, JournalIdentity const& now) {
  if (recorded.input_hash == now.input_hash && recorded.input_bytes == now.input_bytes) return {};
  auto const describe = [](JournalIdentity const& identity) {
    if (identity.input_hash.empty()) return std::string("standard input or a pipe");
    return text(identity.input_bytes, " bytes with hash ", identity.input_hash);
  };
  return text("\n  input: was ", describe(recorded), ", is ", describe(now));
}

std::string option_differences(JournalIdentity const& recorded, JournalIdentity const& now) {
  std::map<std::string, std::pair<std::string, std::string>> both;
  for (auto const& [name, value] : recorded.options) both[name].first = value;
  for (auto const& [name, value] : now.options) both[name].second = value;
  std::string differences;
  for (auto const& [name, values] : both)
    if (values.first != values.second)
      differences += text("\n  --", name, ": was ", shown(values.first), ", is ", shown(values.second));
  return differences;
}

std::string arithmetic_difference(JournalIdentity const& recorded, JournalIdentity const& now, ArithmeticRule rule) {
  if (rule == ArithmeticRule::may_differ || recorded.arithmetic.back() == now.arithmetic.back()) return {};
  return text("\n  arithmetic: was ", recorded.arithmetic.back(), ", is ", now.arithmetic.back(),
              " (answers could differ in their bits; --allow-different-arithmetic goes on and marks the report)");
}

}  // namespace

std::string side_path(std::string const& output_path) { return output_path + ".windlass.json"; }

std::string to_json(SideFile const& side) {
  json::object options;
  for (auto const& [name, value] : side.identity.options) options[name] = value;
  json::object const all{
      {"format", side_format},
      {"model", {{"identity", side.identity.model_identity}, {"path", side.identity.model_path}}},
      {"input", {{"hash", side.identity.input_hash}, {"bytes", side.identity.input_bytes}}},
      {"options", options},
      {"arithmetic", json::value_from(side.identity.arithmetic)},
      {"owner", {{"host", side.owner.host}, {"pid", side.owner.pid}}},
  };
  return json::serialize(all) + "\n";
}

SideFile parse_side_file(std::string_view text_of_file, std::string const& path) {
  json::error_code failed;
  json::value const parsed = json::parse(text_of_file, failed);
  if (failed || !parsed.is_object())
    throw InputError(text(path, ": not a JSON object (", failed.message(),
                          "); the output beside it cannot be resumed "
                          "without it: use --overwrite to start anew"));
  FieldReader const fields{parsed.get_object(), path};
  if (int const format = fields.get<int>("format"); format != side_format)
    throw InputError(text(path, ": format ", format, " was written by another version of Windlass (this one reads ",
                          side_format, "); resume with that version, or use --overwrite to start anew"));
  FieldReader const model = fields.child("model"), input = fields.child("input"), owner = fields.child("owner");
  SideFile side{.identity = {.model_identity = model.get<std::string>("identity"),
                             .model_path = model.get<std::string>("path"),
                             .input_hash = input.get<std::string>("hash"),
                             .input_bytes = input.get<std::uint64_t>("bytes"),
                             .options = fields.get<std::map<std::string, std::string>>("options"),
                             .arithmetic = fields.get<std::vector<std::string>>("arithmetic")},
                .owner = {.host = owner.get<std::string>("host"), .pid = owner.get<std::int64_t>("pid")}};
  if (side.identity.arithmetic.empty())
    throw InputError(text(path, ": the list 'arithmetic' is empty; use --overwrite to start anew"));
  return side;
}

std::optional<SideFile> read_side_file(std::string const& output_path) {
  std::string const path = side_path(output_path);
  auto const content = read_small_file(path);
  if (!content) return std::nullopt;
  return parse_side_file(*content, path);
}

void require_same(JournalIdentity const& recorded, JournalIdentity const& now, ArithmeticRule rule,
                  std::string const& output_path) {
  std::string const differences = model_difference(recorded, now) + input_difference(recorded, now) +
                                  option_differences(recorded, now) + arithmetic_difference(recorded, now, rule);
  if (differences.empty()) return;
  throw InputError(text(output_path,
                        ": was begun by a run that differs (its answers would not belong together):", differences,
                        "\nGo back to what it was, name another --output, or use --overwrite to drop its "
                        "answers and start anew."));
}

}  // namespace windlass
