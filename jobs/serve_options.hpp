/// The options of `windlass serve`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jobs/batch_options.hpp"
#include "jobs/engine_options.hpp"
#include "src/api/http_server.hpp"
#include "src/serve/online/api_service.hpp"

namespace windlass {

struct ServeOptions {
  EngineOptions engine;
  HttpServerConfig http;
  std::string endpoint_file;
  std::string key_environment;  ///< variable that holds the key; empty: a random one
  std::string key_file;         ///< several users' keys instead; empty: none
  MetricsAccess metrics = MetricsAccess::with_key;
  Layout layout;                  ///< of the ranks
  std::string transport;          ///< "auto" or a name: how KV moves between instances
  double lost_after_seconds = 0;  ///< of silence, after which a rank is lost
  int max_waiting = 0;            ///< prompts that may wait for a place in the batch
  double drain_seconds = 0;
  std::string files_folder;  ///< uploads and batches; empty: a temporary one
  std::uint64_t max_user_file_bytes = 0;
  std::string accounting_file;       ///< empty: none
  std::string report_file;           ///< empty: none
  std::vector<std::string> command;  ///< runs beside the server, which ends with it; empty: none
  std::string status_file;
  bool end_with_stdin = false;  ///< drain when standard input is closed
  bool quiet = false;
};

/// Nothing where help was asked for; it is printed. Throws InputError naming the option that is wrong.
std::optional<ServeOptions> parse_serve_options(std::vector<std::string> const& words);

}  // namespace windlass
