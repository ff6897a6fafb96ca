/// One server on rank 0, from its first to its last answer.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "jobs/child_command.hpp"
#include "jobs/drain_signals.hpp"
#include "jobs/serve_backend.hpp"
#include "jobs/serve_files.hpp"
#include "jobs/serve_options.hpp"
#include "jobs/status_file.hpp"
#include "src/api/endpoint_file.hpp"
#include "src/api/http_server.hpp"
#include "src/serve/online/accounting_log.hpp"
#include "src/serve/online/api_service.hpp"
#include "src/serve/online/engine_loop.hpp"

namespace windlass {

struct ServeSignals {
  DrainSignals const& drain;
  std::atomic<bool>& hang_up;  ///< SIGHUP came
};

/// What a server stands on.
struct ServeParts {
  ServeSignals const& signals;
  StatusFile const& status;
  ServeBackend& backend;
};

/// The HTTP threads are made before the engine pins this one.
class ServeRun {
 public:
  /// Local. Throws InputError, FileError.
  ServeRun(ServeOptions const& options, ServeParts const& parts);
  ~ServeRun() { stop(0); }

  /// Collective over the job until the model is loaded. The exit code. Throws what loading and the engine throw.
  int run();

 private:
  int answer(RequestRunner& runner);
  void stop(Microseconds patience_us);
  EndpointFile::Content endpoint_content() const;
  bool look_at_signals();
  void start_command(EndpointFile::Content const& content);
  void write_report(EngineCounters const& engine, double seconds, int cut_off) const;
  void read_keys_again();
  ServedModel served_model(EngineSetup const& setup);
  void announce(EndpointFile::Content const& content) const;

  ServeOptions const& options_;
  ServeSignals const& signals_;
  StatusFile const& status_;
  ServeBackend& backend_;
  std::string key_;
  ServedModel model_;
  std::unique_ptr<AccountingLog> accounting_;
  ServeFiles files_;
  ApiService service_;
  HttpServer server_;
  EngineLoop loop_;
  std::unique_ptr<ChildCommand> command_;
  bool command_was_told_ = false;  ///< to end
  bool everything_lost_ = false;
};

}  // namespace windlass
