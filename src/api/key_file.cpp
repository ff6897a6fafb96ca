#include "src/api/key_file.hpp"

#include <sys/stat.h>

#include <boost/json/parse.hpp>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <set>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

std::string read_text(std::string const& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) throw FileError(path, "look at the key file", errno);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    throw InputError(text(path, ": others may write this file, and so make themselves keys; chmod go-w it"));
  std::ifstream in(path);
  if (!in) throw FileError(path, "open the key file", errno);
  return {std::istreambuf_iterator<char>(in), {}};
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// One user's entry; `where` begins every message.
class UserReader {
 public:
  UserReader(json::object const& fields, std::string where) : fields_(fields), where_(std::move(where)) {}

  ApiUser read() const {
    static std::set<std::string_view> const known = {"name", "key_sha256", "requests_per_minute", "tokens_per_minute",
                                                     "concurrent_requests"};
    for (auto const& entry : fields_)
      if (std::string_view const key(entry.key().data(), entry.key().size()); !known.contains(key))
        throw InputError(text(where_, ": there is no field '", key, "'"));
    return {.name = word("name"),
            .key = hash(),
            .limits = {.requests_per_minute = count("requests_per_minute"),
                       .tokens_per_minute = count("tokens_per_minute"),
                       .concurrent_requests = count("concurrent_requests")}};
  }

 private:
  std::string word(char const* name) const {
    json::value const* const value = fields_.if_contains(name);
    if (!value || !value->is_string() || value->get_string().empty())
      throw InputError(text(where_, ": '", name, "' must be a string"));
    return std::string(value->get_string());
  }
  std::optional<int> count(char const* name) const {
    json::value const* const value = fields_.if_contains(name);
    if (!value) return std::nullopt;
    if (!value->is_int64() || value->get_int64() < 1 || value->get_int64() > 1'000'000'000)
      throw InputError(text(where_, ": '", name, "' must be a count from 1 to 1000000000"));
    return int(value->get_int64());
  }
  KeyHash hash() const {
    std::string const hex = word("key_sha256");
    KeyHash bytes{};
    bool good = hex.size() == 2 * bytes.size();
    for (std::size_t i = 0; good && i < bytes.size(); ++i) {
      int const high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
      good = high >= 0 && low >= 0;
      bytes[i] = std::uint8_t(high * 16 + low);
    }
    if (!good)
      throw InputError(text(where_, ": 'key_sha256' must be 64 hexadecimal digits (printf %s KEY | sha256sum)"));
    return bytes;
  }

  json::object const& fields_;
  std::string where_;
};

}  // namespace

ApiKeys read_key_file(std::string const& path) {
  json::error_code failed;
  json::value const parsed = json::parse(read_text(path), failed);
  json::object const* const whole = failed ? nullptr : parsed.if_object();
  json::value const* const list = whole ? whole->if_contains("users") : nullptr;
  if (!list || !list->is_array() || list->get_array().empty())
    throw InputError(text(path, ": must be a JSON object with a list 'users' that is not empty"));
  std::vector<ApiUser> users;
  std::set<std::string> names;
  std::set<KeyHash> hashes;
  for (json::value const& entry : list->get_array()) {
    std::string const where = text(path, ": users[", users.size(), "]");
    if (!entry.is_object()) throw InputError(text(where, " must be an object"));
    users.push_back(UserReader(entry.get_object(), where).read());
    if (!names.insert(users.back().name).second || !hashes.insert(users.back().key).second)
      throw InputError(text(where, ": an earlier user has the same name or key"));
  }
  return ApiKeys(std::move(users));
}

}  // namespace windlass
