// windlass serve: OpenAI's API over HTTP, in front of the engine.
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <random>
#include <utility>

#include "jobs/child_command.hpp"
#include "jobs/commands.hpp"
#include "jobs/drain_signals.hpp"
#include "jobs/engine_setup.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/serve_files.hpp"
#include "jobs/serve_options.hpp"
#include "jobs/status_file.hpp"
#include "jobs/version.hpp"
#include "mpi/job.hpp"
#include "src/api/endpoint_file.hpp"
#include "src/api/key_file.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

constexpr int waiting_in_engine = 4;               ///< so that a free place is taken in the next step
constexpr Microseconds last_bytes_us = 5'000'000;  ///< for answers to leave after the last one was made

/// Every connection is a descriptor, and the usual limit of 1024 is a soft one.
void raise_descriptor_limit() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) log_warning("the limit of open files cannot be raised");
}

std::string chosen_key(ServeOptions const& options) {
  if (options.key_environment.empty()) return random_key();
  auto const key = process_environment()(options.key_environment.c_str());
  if (!key || key->size() < 16)
    throw InputError(text("--api-key-env ", options.key_environment, ": the variable must hold a key of at least 16 ",
                          "characters"));
  return *key;
}

/// What clients call the model: the option, or the file's or folder's name.
std::string model_name(EngineOptions const& options) {
  if (!options.served_model_name.empty()) return options.served_model_name;
  std::filesystem::path path = std::filesystem::path(options.model.path).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
}

/// Whoever holds the other end of the pipe, or the terminal, is gone.
bool standard_input_is_closed() {
  pollfd input{.fd = STDIN_FILENO, .events = 0, .revents = 0};
  return ::poll(&input, 1, 0) > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t(device()) << 32) | device();
}

struct Signals {
  DrainSignals const& drain;
  std::atomic<bool>& hang_up;  ///< SIGHUP came
};

/// One server from its first to its last answer. The HTTP threads are made before the engine pins this one.
class ServeRun {
 public:
  ServeRun(ServeOptions const& options, Signals const& signals, StatusFile const& status)
      : options_(options),
        signals_(signals),
        status_(status),
        key_(options.key_file.empty() ? chosen_key(options) : ""),
        accounting_(options.accounting_file.empty() ? nullptr
                                                    : std::make_unique<AccountingLog>(options.accounting_file)),
        files_(options),
        service_({.metrics = options.metrics,
                  .version = program_version(),
                  .accounting = accounting_.get(),
                  .files = &files_.routes()},
                 options.key_file.empty() ? ApiKeys({{.name = "default", .key = hash_key(key_)}})
                                          : read_key_file(options.key_file)),
        server_(options.http, service_),
        loop_({.max_in_engine = options.engine.max_num_seqs + waiting_in_engine,
               .max_open_requests = options.engine.max_num_seqs + options.max_waiting,
               .loops = server_.loops(),
               .drain_us = Microseconds(options.drain_seconds * 1e6)},
              [this](int loop, std::function<void()> work) { server_.post(loop, std::move(work)); }) {
    service_.connect([this](int loop, std::function<void()> work) { server_.post(loop, std::move(work)); },
                     [this] { return server_.connections(); });
  }
  ~ServeRun() { stop(0); }

  int run() {
    status_.write("loading", "");
    EndpointFile::Content const content{.address = {.host = options_.http.host,
                                                    .port = server_.port(),
                                                    .socket_path = options_.http.socket_path,
                                                    .certificate = certificate_path()},
                                        .api_key = key_,
                                        .model = model_name(options_.engine)};
    setup_ = set_up_engine(options_.engine, std::nullopt);
    model_ = served_model(*setup_);
    EngineRunner runner(*setup_->engine);
    loop_.publish(runner.counters());
    loop_.record(setup_->plan_log.get());
    service_.serve(model_);
    files_.start(options_, *setup_, model_, service_);
    EndpointFile const endpoint(options_.endpoint_file, content);
    status_.write("running", "");
    announce(content);
    start_command(content);
    Microseconds const begun_us = now_us();
    int const cut_off = loop_.run(runner, [this] { return look_at_signals(); });
    stop(last_bytes_us);
    if (cut_off > 0) log_warning(text(cut_off, " requests were cut off: --drain-seconds were over"));
    write_report(runner.counters(), double(now_us() - begun_us) * 1e-6, cut_off);
    if (command_) return command_->end(int(options_.drain_seconds * 1e3));
    return cut_off > 0 || files_.work_remains() ? exit_again : exit_done;
  }

 private:
  /// Nothing calls from one part into another afterwards, in whatever order they go.
  void stop(Microseconds patience_us) {
    files_.stop();
    service_.stop();
    server_.stop(patience_us);
  }

  /// As clients find it, wherever they run.
  std::string certificate_path() const {
    std::string const& given = options_.http.tls_certificate;
    return given.empty() ? "" : std::filesystem::absolute(given).string();
  }

  bool look_at_signals() {
    if (signals_.hang_up.exchange(false) && !options_.key_file.empty()) read_keys_again();
    if (!command_) return signals_.drain.wanted() || (options_.end_with_stdin && standard_input_is_closed());
    if (signals_.drain.wanted() && !std::exchange(command_was_told_, true)) command_->send(SIGTERM);
    return signals_.drain.wanted() || command_->exit_code();
  }

  void start_command(EndpointFile::Content const& content) {
    if (options_.command.empty()) return;
    command_ = std::make_unique<ChildCommand>(
        options_.command, environment_for_command(::environ, {{"OPENAI_BASE_URL", base_url(content.address)},
                                                              {"OPENAI_API_KEY", content.api_key},
                                                              {"OPENAI_MODEL", content.model}}));
  }

  void write_report(EngineCounters const& engine, double seconds, int cut_off) const {
    if (options_.report_file.empty()) return;
    JsonText out;
    out.begin_object().member("status", cut_off > 0 ? "again" : "done").member("version", program_version());
    out.member("commit", program_commit()).member("model", model_.name).member("seconds", seconds);
    out.member("cut_off_requests", cut_off).key("engine").begin_object().member("steps", engine.steps);
    out.member("busy_seconds", double(engine.busy_us) * 1e-6).member("prompt_tokens", engine.prompt_tokens);
    out.member("cached_tokens", engine.cached_tokens).member("generated_tokens", engine.generated_tokens);
    out.member("preemptions", engine.preemptions).end_object().key("users").raw(service_.users_report()).end_object();
    replace_file(options_.report_file, out.take() + "\n");
  }

  void read_keys_again() {
    try {
      service_.replace_keys(read_key_file(options_.key_file));
      log_info("the key file was read again");
    } catch (std::exception const& error) {
      log_warning(text("the old keys stay: ", error.what()));
    }
  }

  ServedModel served_model(EngineSetup const& setup) {
    ServedModel model{.rules = request_rules(options_.engine, setup.model),
                      .name = model_name(options_.engine),
                      .loaded_s = std::int64_t(std::time(nullptr)),
                      .engine = &loop_};
    model.rules.model_name = model.rules.served_model_name = model.name;
    model.rules.job_seed = random_seed();
    model.rules.streaming = Streaming::possible;
    return model;
  }

  void announce(EndpointFile::Content const& content) const {
    if (options_.quiet) return;
    log_info(text("windlass ", program_version(), " (", program_commit(), "): serving ", content.model, ", ",
                  setup_->model.spec.architecture, "; ", setup_->arithmetic, ", ", setup_->threads,
                  " threads, KV cache of ", setup_->kv_bytes >> 20, " MiB"));
    std::fputs(usage_lines(content, options_.endpoint_file).c_str(), stdout);
    std::fflush(stdout);
  }

  ServeOptions const& options_;
  Signals const& signals_;
  StatusFile const& status_;
  std::string key_;
  std::unique_ptr<EngineSetup> setup_;
  ServedModel model_;
  std::unique_ptr<AccountingLog> accounting_;
  ServeFiles files_;
  ApiService service_;
  HttpServer server_;
  EngineLoop loop_;
  std::unique_ptr<ChildCommand> command_;
  bool command_was_told_ = false;  ///< to end
};

int serve(ServeOptions const& options, Signals const& signals, StatusFile const& status) {
  MpiJob const mpi(detect_launcher(process_environment()));
  if (mpi.place().world_ranks > 1) {
    if (mpi.place().world_rank == 0)
      log_info(text("error: started with ", mpi.place().world_ranks, " ranks, and serve runs one; use mpirun -n 1"));
    return exit_usage;
  }
  try {
    int const code = ServeRun(options, signals, status).run();
    status.write(code == exit_done ? "done" : "again", "");
    return code;
  } catch (std::exception const& error) {
    status.fail(error);
    throw;
  }
}

}  // namespace

int serve_command(std::vector<std::string> const& words) {
  auto const options = parse_serve_options(words);
  if (!options) return exit_done;
  StatusFile const status(options->status_file);
  std::atomic<bool> hang_up = false;
  auto const at_once = [&status] {
    log_info("second signal: ending at once");
    try {
      status.write("again", "ended by a second signal");
    } catch (std::exception const& error) {
      log_warning(error.what());
    }
    ::_exit(exit_again);
  };
  DrainSignals const drain(at_once, [&hang_up] { hang_up = true; });
  raise_descriptor_limit();
  return serve(*options, {.drain = drain, .hang_up = hang_up}, status);
}

}  // namespace windlass
