/// A page for browsers: what the server does now, and a chat. It loads nothing from elsewhere.
#pragma once

#include "src/api/http.hpp"

namespace windlass {

/// The page takes the key from its own address (/?key=KEY), keeps it for the tab, and reads /health and /metrics.
HttpResponse dashboard_response();

}  // namespace windlass
