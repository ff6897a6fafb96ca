/// Batches of the endpoint: each is a file of requests, answered through the journal that `windlass batch` writes.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "src/serve/online/batch_state.hpp"
#include "src/serve/online/file_store.hpp"
#include "src/serve/online/loop_runner.hpp"
#include "src/serve/online/served_model.hpp"
#include "src/store/journal_identity.hpp"

namespace windlass {

struct BatchServiceConfig {
  int running_batches = 4;             ///< at a time; more wait, each user's in order
  int running_requests = 64;           ///< of all batches together, in the engine
  std::size_t max_user_batches = 100;  ///< that are not over
};

/// What batches need of a loaded model. Everything outlives the service's stop().
struct BatchModel {
  ServedModel const* served = nullptr;
  JournalIdentity identity;  ///< of model, options and arithmetic; the input is filled in
  std::function<void(std::string const& user, BatchRequestEnd const& end)> on_end;
};

/// States are on disk, in the folder of the files, before anybody is told of them; batches that were running when a
/// server ended go on with the next one. Safe from any thread.
class BatchService {
 public:
  /// Makes its threads; they wait for a model. `files` must outlive this.
  BatchService(BatchServiceConfig const& config, FileStore& files);
  ~BatchService() { stop(); }
  BatchService(BatchService const&) = delete;
  BatchService& operator=(BatchService const&) = delete;

  void start(BatchModel model);
  /// Leaves what runs for the next server, and waits for the threads. The engine's loop may have ended before.
  void stop();

  /// Throws ApiError where the user has too many, FileError.
  BatchState create(BatchState batch);
  std::optional<BatchState> find(std::string const& user, std::string const& id) const;
  std::vector<BatchState> list(std::string const& user) const;  ///< oldest first
  /// Nothing where there is no such batch. Throws ApiError where it is over.
  std::optional<BatchState> cancel(std::string const& user, std::string const& id);
  bool unfinished() const;  ///< any batch is

 private:
  void read_folder();
  void work();
  std::optional<std::string> next_batch();
  void run(std::string const& id);
  bool prepare(BatchState& batch, std::string const& input);
  bool answer(BatchState& batch, std::string const& input);
  void finish(BatchState& batch);
  void fail(BatchState& batch, std::string const& message);
  BatchState state(std::string const& id) const;
  void keep(BatchState const& batch);
  void show_counts(std::string const& id, std::int64_t completed, std::int64_t failed);
  bool ends_early(std::string const& id) const;
  std::string path(std::string const& id, char const* ending) const { return files_.folder() + "/" + id + ending; }

  BatchServiceConfig const config_;
  FileStore& files_;
  BatchSlots slots_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, BatchState> batches_;   ///< by id
  std::map<std::string, std::string> running_;  ///< id -> user
  std::optional<BatchModel> model_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace windlass
