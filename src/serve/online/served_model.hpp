/// What a server serves once the model is loaded.
#pragma once

#include <cstdint>
#include <string>

#include "src/serve/online/engine_loop.hpp"
#include "src/serve/online/server_metrics.hpp"
#include "src/serve/openai_request.hpp"

namespace windlass {

/// Everything that it refers to must outlive the server.
struct ServedModel {
  RequestRules rules;
  std::string name;           ///< as clients see it
  std::int64_t loaded_s = 0;  ///< seconds since 1970
  EngineLoop* engine = nullptr;
};

}  // namespace windlass
