/// /v1/files and /v1/batches, in OpenAI's words.
#pragma once

#include "src/api/http.hpp"
#include "src/serve/online/batch_service.hpp"
#include "src/serve/online/file_store.hpp"

namespace windlass {

/// All throw ApiError for what a client did wrong, FileError for what the disk did. Safe from any thread; they read and
/// write files, so not on the thread of a loop.
class FileRoutes {
 public:
  FileRoutes(FileStore& files, BatchService& batches) : files_(files), batches_(batches) {}

  HttpResponse files(HttpRequest const& request);    ///< GET, POST /v1/files
  HttpResponse file(HttpRequest const& request);     ///< GET, DELETE /v1/files/ID, GET /v1/files/ID/content
  HttpResponse batches(HttpRequest const& request);  ///< GET, POST /v1/batches
  HttpResponse batch(HttpRequest const& request);    ///< GET /v1/batches/ID, POST /v1/batches/ID/cancel

 private:
  HttpResponse upload(HttpRequest const& request);
  HttpResponse create(HttpRequest const& request);

  FileStore& files_;
  BatchService& batches_;
};

}  // namespace windlass
