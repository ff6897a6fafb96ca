/// Typed access to the fields of a request's JSON object.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/core/ids.hpp"

namespace windlass {

struct NumberRange {
  double least = 0, most = 0;
  enum class Least : unsigned char { included, excluded } least_is = Least::included;
};

struct IntegerRange {
  std::int64_t least = 0, most = 0;
};

/// A field that is absent or null is unset. Every other problem is an ApiError that names the field, its value, and
/// what is possible. The object must outlive this.
class Fields {
 public:
  explicit Fields(boost::json::object const& object) : object_(&object) {}

  boost::json::value const* find(char const* key) const;  ///< null where absent or null
  std::optional<double> number(char const* key, NumberRange range) const;
  std::optional<std::int64_t> integer(char const* key, IntegerRange range) const;  ///< 16.0 is an integer too
  std::optional<bool> boolean(char const* key) const;
  std::optional<std::string> string(char const* key) const;
  boost::json::object const* object(char const* key) const;
  boost::json::array const* array(char const* key) const;
  std::vector<TokenId> token_ids(char const* key, int vocab) const;  ///< empty where unset

  [[noreturn]] void refuse(char const* key, std::string const& expected) const;

 private:
  boost::json::object const* object_;
};

/// A token id below `vocab`, or nothing.
std::optional<TokenId> as_token_id(boost::json::value const& value, int vocab);

}  // namespace windlass
