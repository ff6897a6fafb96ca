/// Strict reading of JSON that strangers wrote.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

namespace windlass {

constexpr int max_json_depth = 64;  ///< arrays and objects inside each other

/// Parses one JSON object. Throws ApiError (code "invalid_json") where `text` is not UTF-8, not JSON, not an object,
/// nested deeper than max_json_depth, or has an object with the same key twice (which of the two is meant cannot be
/// known).
boost::json::object parse_strict_object(std::string_view text);

}  // namespace windlass
