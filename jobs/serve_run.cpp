#include "jobs/serve_run.hpp"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <random>
#include <utility>

#include "jobs/exit_codes.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/version.hpp"
#include "src/api/key_file.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

constexpr int waiting_in_engine = 4;               ///< so that a free place is taken in the next step
constexpr Microseconds last_bytes_us = 5'000'000;  ///< for answers to leave after the last one was made

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

}  // namespace

ServeRun::ServeRun(ServeOptions const& options, ServeParts const& parts)
    : options_(options),
      signals_(parts.signals),
      status_(parts.status),
      backend_(parts.backend),
      key_(options.key_file.empty() ? chosen_key(options) : ""),
      accounting_(options.accounting_file.empty() ? nullptr : std::make_unique<AccountingLog>(options.accounting_file)),
      files_(options),
      service_({.metrics = options.metrics,
                .version = program_version(),
                .accounting = accounting_.get(),
                .files = &files_.routes()},
               options.key_file.empty() ? ApiKeys({{.name = "default", .key = hash_key(key_)}})
                                        : read_key_file(options.key_file)),
      server_(options.http, service_),
      loop_({.max_in_engine = (options.engine.max_num_seqs + waiting_in_engine) * parts.backend.instances(),
             .max_open_requests = options.engine.max_num_seqs * parts.backend.instances() + options.max_waiting,
             .loops = server_.loops(),
             .drain_us = Microseconds(options.drain_seconds * 1e6)},
            [this](int loop, std::function<void()> work) { server_.post(loop, std::move(work)); }) {
  service_.connect([this](int loop, std::function<void()> work) { server_.post(loop, std::move(work)); },
                   [this] { return server_.connections(); });
}

int ServeRun::run() {
  status_.write("loading", "");
  EndpointFile::Content const content = endpoint_content();
  backend_.load();
  model_ = served_model(backend_.setup());
  RequestRunner& runner = backend_.runner();
  loop_.publish(runner.counters(), runner.instances());
  loop_.record(backend_.setup().plan_log.get());
  service_.serve(model_);
  files_.start(options_, backend_.setup(), model_, service_);
  EndpointFile const endpoint(options_.endpoint_file, content);
  status_.write("running", "");
  announce(content);
  start_command(content);
  Microseconds const begun_us = now_us();
  int const cut_off = answer(runner);
  stop(last_bytes_us);
  if (cut_off > 0) log_warning(text(cut_off, " requests were cut off: --drain-seconds were over"));
  write_report(runner.counters(), double(now_us() - begun_us) * 1e-6, cut_off);
  if (command_) return command_->end(int(options_.drain_seconds * 1e3));
  return cut_off > 0 || everything_lost_ || files_.work_remains() ? exit_again : exit_done;
}

/// Until a drain is over, or nobody is left to answer. How many were cut off.
int ServeRun::answer(RequestRunner& runner) {
  try {
    return loop_.run(runner, [this] { return look_at_signals(); });
  } catch (EveryInstanceLost const& lost) {
    log_warning(text(lost.what(), "; the server ends"));
    everything_lost_ = true;
    return 0;
  }
}

/// Nothing calls from one part into another afterwards, in whatever order they go.
void ServeRun::stop(Microseconds patience_us) {
  files_.stop();
  service_.stop();
  server_.stop(patience_us);
}

EndpointFile::Content ServeRun::endpoint_content() const {
  std::string const& certificate = options_.http.tls_certificate;
  return {.address = {.host = options_.http.host,
                      .port = server_.port(),
                      .socket_path = options_.http.socket_path,
                      // as clients find it, wherever they run
                      .certificate = certificate.empty() ? "" : std::filesystem::absolute(certificate).string()},
          .api_key = key_,
          .model = model_name(options_.engine)};
}

bool ServeRun::look_at_signals() {
  if (signals_.hang_up.exchange(false) && !options_.key_file.empty()) read_keys_again();
  if (!command_) return signals_.drain.wanted() || (options_.end_with_stdin && standard_input_is_closed());
  if (signals_.drain.wanted() && !std::exchange(command_was_told_, true)) command_->send(SIGTERM);
  return signals_.drain.wanted() || command_->exit_code();
}

void ServeRun::start_command(EndpointFile::Content const& content) {
  if (options_.command.empty()) return;
  command_ = std::make_unique<ChildCommand>(
      options_.command, environment_for_command(::environ, {{"OPENAI_BASE_URL", base_url(content.address)},
                                                            {"OPENAI_API_KEY", content.api_key},
                                                            {"OPENAI_MODEL", content.model}}));
}

void ServeRun::write_report(EngineCounters const& engine, double seconds, int cut_off) const {
  if (options_.report_file.empty()) return;
  JsonText out;
  char const* const status = cut_off > 0 || everything_lost_ ? "again" : "done";
  out.begin_object().member("status", status).member("version", program_version());
  out.member("commit", program_commit()).member("model", model_.name).member("seconds", seconds);
  out.member("cut_off_requests", cut_off).key("engine").begin_object().member("steps", engine.steps);
  out.member("busy_seconds", double(engine.busy_us) * 1e-6).member("prompt_tokens", engine.prompt_tokens);
  out.member("cached_tokens", engine.cached_tokens).member("generated_tokens", engine.generated_tokens);
  out.member("preemptions", engine.preemptions).end_object();
  if (Losses const* const losses = backend_.losses()) {
    out.member("lost_instances", losses->instances).member("restarted_requests", losses->restarted_requests);
    out.key("lost_ranks").begin_array();
    for (int const rank : losses->ranks) out.value(rank);
    out.end_array();
  }
  out.key("users").raw(service_.users_report()).end_object();
  replace_file(options_.report_file, out.take() + "\n");
}

void ServeRun::read_keys_again() {
  try {
    service_.replace_keys(read_key_file(options_.key_file));
    log_info("the key file was read again");
  } catch (std::exception const& error) {
    log_warning(text("the old keys stay: ", error.what()));
  }
}

ServedModel ServeRun::served_model(EngineSetup const& setup) {
  ServedModel model{.rules = request_rules(options_.engine, setup.model),
                    .name = model_name(options_.engine),
                    .loaded_s = std::int64_t(std::time(nullptr)),
                    .engine = &loop_};
  model.rules.model_name = model.rules.served_model_name = model.name;
  model.rules.job_seed = random_seed();
  model.rules.streaming = Streaming::possible;
  return model;
}

void ServeRun::announce(EndpointFile::Content const& content) const {
  if (options_.quiet) return;
  EngineSetup const& setup = backend_.setup();
  log_info(text("windlass ", program_version(), " (", program_commit(), "): serving ", content.model, ", ",
                setup.model.spec.architecture, "; ", setup.arithmetic, ", ", setup.threads, " threads, KV cache of ",
                setup.kv_bytes >> 20, " MiB"));
  if (std::string const layout = backend_.layout_text(); !layout.empty()) log_info(layout);
  std::fputs(usage_lines(content, options_.endpoint_file).c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace windlass
