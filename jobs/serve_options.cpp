#include "jobs/serve_options.hpp"

#include <algorithm>
#include <boost/program_options/value_semantic.hpp>
#include <iostream>

#include "jobs/option_parsing.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

constexpr char const* introduction =
    "windlass serve answers OpenAI's API over HTTP: /v1/completions, /v1/chat/completions, /v1/responses (all also as\n"
    "streams), /v1/files, /v1/batches, /v1/models, /tokenize, /detokenize, /health, /version, /metrics. It listens on\n"
    "this host alone (127.0.0.1, a free port) and for those alone who have its key; both are written to the endpoint\n"
    "file and printed once.\n";

constexpr char const* ending =
    "\nSignals: SIGTERM, SIGINT and SIGUSR1 drain: new requests get 503 with Retry-After, running ones finish within\n"
    "--drain-seconds. SIGHUP reads --api-key-file again. A second one ends the program at once. Under bare mpirun only "
    "SIGUSR1 arrives in time (mpirun\n"
    "kills its ranks 2 s after SIGTERM).\n"
    "\n... -- CMD WORDS: starts CMD once the server answers, with OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL "
    "set\n"
    "and without the launcher's variables. The server ends with it and with its exit code; signals reach it as "
    "SIGTERM.\n"
    "Where the server is killed, CMD and what it has started are ended too.\n"
    "\nUnder mpirun or srun all ranks compute (--layout) and rank 0 answers; where a rank dies its streams go on from\n"
    "another one.\n"
    "\nExit codes: 0 drained, every accepted request was answered; 75 some were cut off; 1 the server failed; 2 the\n"
    "command line or what it names is wrong.\n";

template <class T>
po::typed_value<T>* with_default(T value) {
  return po::value<T>()->default_value(value);
}

po::options_description server_options() {
  po::options_description options("Server", help_width, help_text_width);
  options.add_options()(
      "host", with_default<std::string>("127.0.0.1"),
      "address to listen on; 0.0.0.0 lets every host of the network connect, unencrypted without --tls-cert");
  options.add_options()("port", with_default(0), "0: a free one");
  options.add_options()("tls-cert", with_default<std::string>(""),
                        "PEM file of the certificate, and those above it, with which clients are answered over https");
  options.add_options()("tls-key", with_default<std::string>(""), "PEM file of its private key");
  options.add_options()("socket", with_default<std::string>(""),
                        "listen on a UNIX socket at this path instead, which only its owner can open");
  options.add_options()("endpoint-file", with_default<std::string>("windlass-endpoint.json"),
                        "address and key for clients, as JSON that only its owner can read; gone with the server");
  options.add_options()("api-key-env", with_default<std::string>(""),
                        "take the key from this environment variable; else a random one is made");
  options.add_options()(
      "api-key-file", with_default<std::string>(""),
      "several users' hashed keys and limits instead, as JSON (src/api/README.md); SIGHUP reads it again");
  options.add_options()("open-metrics", po::bool_switch(), "/metrics needs no key");
  options.add_options()("http-threads", with_default(1), "threads that serve connections");
  options.add_options()("max-connections", with_default(4096), "open at once; more get 503");
  options.add_options()("max-body-mib", with_default(32), "longest request body, MiB; longer ones get 413");
  options.add_options()(
      "files-folder", with_default<std::string>(""),
      "keep the files of /v1/files and /v1/batches here, from one server to the next; else they are gone "
      "with the server");
  options.add_options()("max-files-mib", with_default(1024), "of files that a user may keep, MiB");
  options.add_options()("max-waiting", with_default(1024),
                        "prompts that may wait for a place in the batch; more get 429 with Retry-After");
  return options;
}

po::options_description run_options() {
  po::options_description options("Run", help_width, help_text_width);
  options.add_options()("drain-seconds", with_default(30.0), "how long running requests may go on after a signal");
  options.add_options()("status-file", with_default<std::string>(""),
                        "keep one word about the run here: loading, running, done, again, failed");
  options.add_options()(
      "accounting-log", with_default<std::string>(""),
      "append a line per request here: user, tokens, times, outcome; CSV where the name ends in .csv, "
      "else JSON lines (src/serve/online/README.md)");
  options.add_options()("end-with-stdin", po::bool_switch(),
                        "drain when standard input is closed: for programs that start a server of their own");
  options.add_options()("report", with_default<std::string>(""), "write figures of the run here at its end, as JSON");
  options.add_options()("config", po::value<std::string>(), "read options from this file: lines 'name = value'");
  options.add_options()("quiet", po::bool_switch(), "print nothing but warnings");
  options.add_options()("help,h", "print this");
  return options;
}

HttpServerConfig http_config(po::variables_map const& values) {
  int const port = at_least(values, "port", 0);
  std::string const certificate = values["tls-cert"].as<std::string>(), key = values["tls-key"].as<std::string>();
  if (certificate.empty() != key.empty())
    throw InputError("--tls-cert and --tls-key go together: give both or neither");
  if (!certificate.empty() && !values["socket"].as<std::string>().empty())
    throw InputError("--tls-cert: a UNIX socket needs no TLS; leave it or --socket out");
  if (port > 65535) throw InputError(text("--port ", port, " is too large; use 1 to 65535, or 0 for a free one"));
  return {.host = values["host"].as<std::string>(),
          .port = std::uint16_t(port),
          .socket_path = values["socket"].as<std::string>(),
          .tls_certificate = certificate,
          .tls_key = key,
          .threads = at_least(values, "http-threads", 1),
          .max_connections = at_least(values, "max-connections", 1),
          .max_body_bytes = std::uint64_t(at_least(values, "max-body-mib", 1)) << 20};
}

}  // namespace

std::optional<ServeOptions> parse_serve_options(std::vector<std::string> const& all_words) {
  auto const dashes = std::find(all_words.begin(), all_words.end(), "--");
  std::vector<std::string> const words(all_words.begin(), dashes);
  std::vector<std::string> const command(dashes == all_words.end() ? dashes : dashes + 1, all_words.end());
  if (dashes != all_words.end() && command.empty()) throw InputError("'--' is the last word; give a command behind it");
  po::options_description all("", help_width, help_text_width);
  po::options_description model("Model", help_width, help_text_width), answers("Answers", help_width, help_text_width),
      machine("Machine", help_width, help_text_width);
  model.add_options()("model", po::value<std::string>(), "a GGUF file or a Hugging Face folder");
  add_model_options(model);
  add_answer_options(answers);
  add_machine_options(machine);
  add_rank_options(machine);
  all.add(server_options()).add(model).add(answers).add(machine).add(run_options());
  po::variables_map const values = parse_words(words, all, "");
  if (values.count("help")) {
    std::cout << introduction << all << ending;
    return std::nullopt;
  }
  ServeOptions options{.engine = engine_options(values),
                       .http = http_config(values),
                       .endpoint_file = values["endpoint-file"].as<std::string>(),
                       .key_environment = values["api-key-env"].as<std::string>(),
                       .key_file = values["api-key-file"].as<std::string>(),
                       .metrics = values["open-metrics"].as<bool>() ? MetricsAccess::open : MetricsAccess::with_key,
                       .layout = parse_layout(values["layout"].as<std::string>()),
                       .transport = transport_option(values),
                       .lost_after_seconds = lost_after_option(values),
                       .max_waiting = at_least(values, "max-waiting", 0),
                       .drain_seconds = drain_seconds(values),
                       .files_folder = values["files-folder"].as<std::string>(),
                       .max_user_file_bytes = std::uint64_t(at_least(values, "max-files-mib", 1)) << 20,
                       .accounting_file = values["accounting-log"].as<std::string>(),
                       .report_file = values["report"].as<std::string>(),
                       .command = command,
                       .status_file = values["status-file"].as<std::string>(),
                       .end_with_stdin = values["end-with-stdin"].as<bool>(),
                       .quiet = values["quiet"].as<bool>()};
  if (!command.empty() && !(options.http.socket_path.empty() && options.key_file.empty()))
    throw InputError("a command behind '--' gets one address and one key: leave out --socket and --api-key-file");
  return options;
}

}  // namespace windlass
