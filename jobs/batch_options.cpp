#include "jobs/batch_options.hpp"

#include <boost/program_options/value_semantic.hpp>
#include <filesystem>
#include <iostream>

#include "jobs/option_parsing.hpp"
#include "kernels/operations.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

constexpr unsigned help_width = 118, help_text_width = 80;

constexpr char const* introduction =
    "windlass batch answers a file of OpenAI batch requests (/v1/completions and /v1/chat/completions), one JSON "
    "object\n"
    "per line, and appends each answer to the output file as soon as it is finished. An answer is on disk before it "
    "is\n"
    "counted. The same command again goes on where the last run stopped, whatever stopped it.\n";

constexpr char const* ending =
    "\nSignals: SIGTERM, SIGINT and SIGUSR1 drain: what runs may finish within --drain-seconds, the rest stays for "
    "the\n"
    "next run. A second one ends the program at once. Under bare mpirun only SIGUSR1 arrives in time (mpirun kills "
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
  options.add_options()("status-file", with_default<std::string>(""),
                        "keep one word about the run here: running, done, again, failed");
  options.add_options()("config", po::value<std::string>(), "read options from this file: lines 'name = value'");
  return options;
}

po::options_description model_options() {
  po::options_description options("Model", help_width, help_text_width);
  options.add_options()("max-model-len", with_default(0),
                        "tokens of a prompt and its answer; 0: the model's own limit");
  options.add_options()("precision", with_default<std::string>("fast"),
                        "f32, or fast: bf16 or int8 activations where the machine has them");
  options.add_options()("hf-overrides", with_default<std::string>(""), "JSON object merged into config.json");
  options.add_options()("chat-template", with_default<std::string>(""), "Jinja file that replaces the model's own");
  options.add_options()("load", with_default<std::string>("auto"), "auto, map (memory-mapped) or read");
  options.add_options()("served-model-name", with_default<std::string>(""),
                        "the only 'model' that requests may name; empty: any");
  return options;
}

po::options_description answer_options() {
  po::options_description options("Answers", help_width, help_text_width);
  options.add_options()("seed", with_default<std::uint64_t>(0),
                        "seed of the job: with a request's custom_id it gives the seed of requests without one");
  options.add_options()("use-model-sampling-defaults", po::bool_switch(),
                        "temperature, top_p … that requests leave out come from the model's generation_config.json");
  options.add_options()("max-logprobs", with_default(20), "log-probabilities per position that a request may ask for");
  options.add_options()("allow-different-arithmetic", po::bool_switch(),
                        "resume with another instruction set: bits may differ between answers; the report is marked");
  return options;
}

po::options_description machine_options() {
  std::string backends;
  for (Operations const* const operations : available_operations()) backends += text(", ", operations->name);
  po::options_description options("Machine", help_width, help_text_width);
  options.add_options()("threads", with_default(0), "0: one per core that the process may use, pinned");
  options.add_options()("backend", with_default<std::string>("auto"), text("auto", backends).c_str());
  options.add_options()("kv-cache-memory", with_default<std::string>("0"),
                        "such as 4GiB; 0: 70 % of free memory (or of the cgroup's limit) at most");
  options.add_options()("max-num-seqs", with_default(64), "sequences that run at once");
  options.add_options()("max-num-batched-tokens", with_default(512), "prompt tokens computed in one step");
  options.add_options()("no-prefix-caching", po::bool_switch(), "compute equal beginnings of prompts each time");
  options.add_options()("max-line-mib", with_default(64), "longest line of the input, MiB");
  options.add_options()("drain-seconds", with_default(30.0), "how long running requests may go on after a signal");
  options.add_options()("quiet", po::bool_switch(), "no progress and no table");
  options.add_options()("help", "print this");
  return options;
}

int at_least(po::variables_map const& values, char const* name, int least) {
  int const value = values[name].as<int>();
  if (value < least) throw InputError(text("--", name, " ", value, " is too small; use ", least, " or more"));
  return value;
}

std::string required(po::variables_map const& values, char const* name) {
  if (!values.count(name) || values[name].as<std::string>().empty())
    throw InputError(text("--", name, " is missing (windlass batch --help lists the options)"));
  return values[name].as<std::string>();
}

LoadMode load_mode(std::string const& name) {
  if (name == "auto") return LoadMode::automatic;
  if (name == "map") return LoadMode::map;
  if (name == "read") return LoadMode::read;
  throw InputError(text("--load ", name, " does not exist; use auto, map or read"));
}

Precision precision(std::string const& name) {
  if (name == "f32") return Precision::f32;
  if (name == "fast") return Precision::fast;
  throw InputError(text("--precision ", name, " does not exist; use f32 or fast"));
}

std::string shown(boost::any const& value) {
  if (auto const* words = boost::any_cast<std::string>(&value)) return *words;
  if (auto const* number = boost::any_cast<int>(&value)) return text(*number);
  if (auto const* number = boost::any_cast<std::uint64_t>(&value)) return text(*number);
  if (auto const* number = boost::any_cast<double>(&value)) return text(*number);
  if (auto const* truth = boost::any_cast<bool>(&value)) return *truth ? "true" : "false";
  return "";
}

void check_files(BatchOptions const& options) {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (options.input != "-" && !fs::exists(options.input, failed))
    throw InputError(text("--input ", options.input, " does not exist"));
  if (options.input != "-" && options.output != "-" && fs::equivalent(options.input, options.output, failed))
    throw InputError(text("--input and --output are one file (", options.output, "); name another output"));
}

BatchOptions from_values(po::variables_map const& values) {
  auto const words = [&](char const* name) { return values[name].as<std::string>(); };
  auto const set = [&](char const* name) { return values[name].as<bool>(); };
  BatchOptions options{
      .model = {.path = required(values, "model"),
                .load = load_mode(words("load")),
                .precision = precision(words("precision")),
                .hf_overrides = words("hf-overrides"),
                .chat_template_file = words("chat-template"),
                .max_model_len = at_least(values, "max-model-len", 0)},
      .input = required(values, "input"),
      .output = required(values, "output"),
      .backend = words("backend"),
      .threads = at_least(values, "threads", 0),
      .max_num_seqs = at_least(values, "max-num-seqs", 1),
      .max_num_batched_tokens = at_least(values, "max-num-batched-tokens", 1),
      .kv_cache_bytes = parse_bytes("kv-cache-memory", words("kv-cache-memory")),
      .prefix_reuse = set("no-prefix-caching") ? PrefixReuse::off : PrefixReuse::on,
      .seed = values["seed"].as<std::uint64_t>(),
      .served_model_name = words("served-model-name"),
      .max_logprobs = at_least(values, "max-logprobs", 0),
      .use_model_sampling_defaults = set("use-model-sampling-defaults"),
      .existing = set("overwrite") ? ExistingOutput::overwrite : ExistingOutput::resume,
      .arithmetic = set("allow-different-arithmetic") ? ArithmeticRule::may_differ : ArithmeticRule::must_agree,
      .drain_seconds = values["drain-seconds"].as<double>(),
      .max_line_bytes = std::size_t(at_least(values, "max-line-mib", 1)) << 20,
      .report_file = words("report"),
      .status_file = words("status-file"),
      .quiet = set("quiet")};
  if (!(options.drain_seconds >= 0 && options.drain_seconds < 1e6))
    throw InputError("--drain-seconds must be a number of seconds from 0 to 1000000");
  for (auto const& [name, value] : values) options.given[name] = shown(value.value());
  check_files(options);
  return options;
}

}  // namespace

std::optional<BatchOptions> parse_batch_options(std::vector<std::string> const& words) {
  po::options_description all("", help_width, help_text_width);
  all.add(file_options()).add(model_options()).add(answer_options()).add(machine_options());
  po::variables_map const values = parse_words(words, all, "");
  if (values.count("help")) {
    std::cout << introduction << all << ending;
    return std::nullopt;
  }
  return from_values(values);
}

}  // namespace windlass
