/// The file that says who may use a server.
#pragma once

#include <string>

#include "src/api/api_keys.hpp"

namespace windlass {

/// Reads {"users": [{"name", "key_sha256", "requests_per_minute", "tokens_per_minute", "concurrent_requests"}]}; the
/// limits are optional, names and hashes differ. Throws FileError, or InputError naming the file, the user and the
/// field; also where others than its owner may write it.
ApiKeys read_key_file(std::string const& path);

}  // namespace windlass
