/// Which server a client subcommand talks to: options shared by chat and bench-serve.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <string>

#include "src/api/http_client.hpp"

namespace windlass {

struct ServerAccess {
  ServerAddress address;
  std::string shown;    ///< the address as people read it
  std::string api_key;  ///< empty: none
  std::string model;    ///< what an endpoint file says it serves; empty: not known
};

void add_access_options(boost::program_options::options_description& options);

/// --base-url, --endpoint-file, the variables OPENAI_BASE_URL and OPENAI_API_KEY, or the windlass-endpoint.json of this
/// folder, whichever is there first. Throws InputError, FileError.
ServerAccess server_access(boost::program_options::variables_map const& values);

/// What an endpoint file says. Throws InputError, FileError.
ServerAccess read_endpoint_file(std::string const& path);

/// The only model that the server has, or the first one. Throws InputError where it has none or takes no key,
/// ServerUnreachable.
std::string first_model(HttpClient& client, std::string const& api_key);

}  // namespace windlass
