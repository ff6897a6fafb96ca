#include "jobs/batch_options.hpp"

#include <boost/program_options/value_semantic.hpp>
#include <filesystem>
#include <iostream>

#include "jobs/option_parsing.hpp"
#include "mpi/kv_transport.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

constexpr char const* introduction =
    "windlass batch answers a file of OpenAI batch requests (/v1/completions and /v1/chat/completions), one JSON "
    "object\n"
    "per line, and appends each answer to the output file as soon as it is finished. An answer is on disk before it "
    "is\n"
    "counted. The same command again goes on where the last run stopped, whatever stopped it.\n";

constexpr char const* ending =
    "\nSignals: SIGTERM, SIGINT and SIGUSR1 drain: what runs may finish within --drain-seconds, the rest stays for "
    "the\n"
    "next run. A second one ends the program at once (SIGTERM behind SIGUSR1 only brings the end nearer). Under bare "
    "mpirun only SIGUSR1 arrives in time (mpirun kills "
    "its\n"
    "ranks 2 s after SIGTERM).\n"
    "\nExit codes: 0 every line is answered (errors of the input are answers too); 75 work remains, start again with "
    "the\n"
    "same command; 1 the run failed (disk, memory); 2 the command line or what it names is wrong. The status file has\n"
    "the same in a word: done, again, failed (running until then).\n";

template <class T>
po::typed_value<T>* with_default(T value) {
  return po::value<T>()->default_value(value);
}

po::options_description file_options() {
  po::options_description options("Files", help_width, help_text_width);
  options.add_options()("model", po::value<std::string>(), "a GGUF file or a Hugging Face folder");
  options.add_options()("input", po::value<std::string>(),
                        "requests, one JSON object a line; plain, gzip or zstd; - is standard input");
  options.add_options()("output", po::value<std::string>(),
                        "answers; - is standard output, which cannot be resumed. OUTPUT.windlass.json lies beside it");
  options.add_options()("overwrite", po::bool_switch(), "drop what the output file holds and start anew");
  options.add_options()("report", with_default<std::string>(""), "write figures of the run here, as JSON");
  options.add_options()("trace", with_default<std::string>(""),
                        "write here what every rank does when: steps, KV, waits (JSON for ui.perfetto.dev)");
  options.add_options()("status-file", with_default<std::string>(""),
                        "keep one word about the run here: running, done, again, failed");
  options.add_options()("config", po::value<std::string>(), "read options from this file: lines 'name = value'");
  return options;
}

po::options_description answer_options() {
  po::options_description options("Answers", help_width, help_text_width);
  add_answer_options(options);
  options.add_options()("seed", with_default<std::uint64_t>(0),
                        "seed of the job: with a request's custom_id it gives the seed of requests without one");
  options.add_options()("allow-different-arithmetic", po::bool_switch(),
                        "resume with another instruction set: bits may differ between answers; the report is marked");
  return options;
}

po::options_description checkpoint_options() {
  po::options_description options("Checkpoints (HDF5 files of running requests and of the prompts' KV)", help_width,
                                  help_text_width);
  options.add_options()("checkpoint", with_default<std::string>(""),
                        "a folder for them: written when the run must end before its work, and read by the next run");
  options.add_options()("checkpoint-interval", with_default(600.0),
                        "seconds between checkpoints while the run goes on; 0: only at its end");
  options.add_options()("keep", with_default(2), "checkpoints that stay in the folder");
  options.add_options()("checkpoint-size", with_default<std::string>("0"),
                        "most bytes in the folder, such as 50GiB; 0: as many as the disk has");
  options.add_options()("checkpoint-rate", with_default<std::string>("100MiB"),
                        "bytes a second, at most, of those that are written while the run goes on; 0: no limit");
  return options;
}

double time_left(double seconds) {
  if (!(seconds >= 0 && seconds <= 1e8))
    throw InputError(text("--time-left ", seconds, ": give seconds; 0 asks Slurm"));
  return seconds;
}

CheckpointOptions checkpoint_values(po::variables_map const& values) {
  auto const bytes = [&](char const* name) { return std::uint64_t(parse_bytes(name, values[name].as<std::string>())); };
  double const interval_s = values["checkpoint-interval"].as<double>();
  if (!(interval_s >= 0 && interval_s <= 1e6))
    throw InputError(text("--checkpoint-interval ", interval_s, ": give seconds from 0 to 1000000"));
  return {.folder = values["checkpoint"].as<std::string>(),
          .interval_us = Microseconds(interval_s * 1e6),
          .keep = at_least(values, "keep", 1),
          .max_bytes = bytes("checkpoint-size"),
          .background_bytes_per_s = bytes("checkpoint-rate")};
}

po::options_description machine_options() {
  po::options_description options("Machine", help_width, help_text_width);
  add_machine_options(options);
  add_rank_options(options);
  options.add_options()("max-line-mib", with_default(64), "longest line of the input, MiB");
  options.add_options()("drain-seconds", with_default(30.0), "how long running requests may go on after a signal");
  options.add_options()("time-left", with_default(0.0),
                        "seconds until this allocation ends; 0: Slurm is asked, where it runs the job");
  options.add_options()("requeue", po::bool_switch(),
                        "when work remains at the end, have Slurm run this job again (scontrol requeue), but not after "
                        "three allocations that got no further");
  options.add_options()("quiet", po::bool_switch(), "no progress and no table");
  options.add_options()("help,h", "print this");
  return options;
}

void check_files(BatchOptions const& options) {
  std::error_code failed;
  if (options.input != "-") require_readable_file("input", options.input);
  if (options.output != "-") require_writable_place("output", options.output);
  if (options.input != "-" && options.output != "-" &&
      std::filesystem::equivalent(options.input, options.output, failed))
    throw InputError(text("--input and --output are one file (", options.output, "); name another output"));
  require_writable_place("report", options.report_file);
  require_writable_place("status-file", options.status_file);
  require_writable_place("trace", options.trace_file);
}

BatchOptions from_values(po::variables_map const& values) {
  auto const words = [&](char const* name) { return values[name].as<std::string>(); };
  auto const set = [&](char const* name) { return values[name].as<bool>(); };
  BatchOptions options{
      .engine = engine_options(values),
      .input = required(values, "input"),
      .output = required(values, "output"),
      .seed = values["seed"].as<std::uint64_t>(),
      .existing = set("overwrite") ? ExistingOutput::overwrite : ExistingOutput::resume,
      .arithmetic = set("allow-different-arithmetic") ? ArithmeticRule::may_differ : ArithmeticRule::must_agree,
      .drain_seconds = drain_seconds(values),
      .max_line_bytes = std::size_t(at_least(values, "max-line-mib", 1)) << 20,
      .report_file = words("report"),
      .status_file = words("status-file"),
      .trace_file = words("trace"),
      .quiet = set("quiet"),
      .layout = parse_layout(words("layout")),
      .transport = transport_option(values),
      .lost_after_seconds = lost_after_option(values),
      .checkpoint = checkpoint_values(values),
      .time_left_seconds = time_left(values["time-left"].as<double>()),
      .requeue = set("requeue"),
      .given = shown_options(values)};
  check_files(options);
  return options;
}

}  // namespace

void add_rank_options(po::options_description& options) {
  options.add_options()(
      "layout", with_default<std::string>("auto"),
      "who does what under mpirun or srun: auto, mixed=3, mixed=1xtp2 or 1xpp2 (ranks that share a model: "
      "parts of every layer, or some layers each), "
      "prefill=2,decode=1,spare=1, "
      "controller=dedicated (windlass inspect topology --layout L shows it)");
  options.add_options()("transport", with_default<std::string>("auto"),
                        "how KV gets to another instance: auto, shared (its pages change hands, inside a "
                        "machine), window (MPI one-sided) or message");
  options.add_options()("lost-after-seconds", with_default(10.0),
                        "a rank that is silent for so long is killed, and its work goes to others");
}

std::string transport_option(po::variables_map const& values) {
  std::string const name = values["transport"].as<std::string>();
  if (name == "auto" || transport_called(name)) return name;
  throw InputError(text("--transport ", name, " does not exist; use auto, shared, window or message"));
}

double lost_after_option(po::variables_map const& values) {
  double const seconds = values["lost-after-seconds"].as<double>();
  if (seconds >= 1 && seconds <= 3600) return seconds;
  throw InputError(text("--lost-after-seconds ", seconds, ": must be 1 to 3600 (a busy rank is silent for moments)"));
}

std::optional<BatchOptions> parse_batch_options(std::vector<std::string> const& words) {
  po::options_description all("", help_width, help_text_width);
  po::options_description model("Model", help_width, help_text_width);
  add_model_options(model);
  all.add(file_options()).add(model).add(answer_options()).add(checkpoint_options()).add(machine_options());
  po::variables_map const values = parse_words(words, all, "");
  if (values.count("help")) {
    std::cout << introduction << all << ending;
    return std::nullopt;
  }
  return from_values(values);
}

}  // namespace windlass
