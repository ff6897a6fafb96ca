/// The files and batches of a server, and where they lie.
#pragma once

#include <optional>
#include <string>

#include "jobs/engine_setup.hpp"
#include "jobs/private_folder.hpp"
#include "jobs/serve_options.hpp"
#include "src/serve/online/batch_service.hpp"
#include "src/serve/online/file_routes.hpp"
#include "src/serve/online/file_store.hpp"

namespace windlass {

/// Made before the engine pins its threads: batches have some of their own.
class ServeFiles {
 public:
  /// Throws InputError, FileError.
  explicit ServeFiles(ServeOptions const& options);

  FileRoutes& routes() { return routes_; }
  /// Batches run from here on, also those of an earlier server. Everything must outlive stop().
  void start(ServeOptions const& options, EngineSetup const& setup, ServedModel const& served, ApiService& service);
  void stop() { batches_.stop(); }
  /// A later server with the same folder has something to do.
  bool work_remains() const { return !own_folder_ && batches_.unfinished(); }

 private:
  std::optional<PrivateFolder> own_folder_;  ///< where none was named
  FileStore files_;
  BatchService batches_;
  FileRoutes routes_;
};

}  // namespace windlass
