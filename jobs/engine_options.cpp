#include "jobs/engine_options.hpp"

#include <boost/program_options/value_semantic.hpp>
#include <filesystem>

#include "jobs/option_parsing.hpp"
#include "kernels/operations.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

template <class T>
po::typed_value<T>* with_default(T value) {
  return po::value<T>()->default_value(value);
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

/// Model names of the Hugging Face hub are the commonest mistake here.
void check_model_files(ModelConfig const& model) {
  std::error_code failed;
  if (!std::filesystem::exists(model.path, failed))
    throw InputError(text("--model ", model.path,
                          ": no such file or folder (models are not fetched by name); give a .gguf file or a Hugging "
                          "Face model folder"));
  if (!model.chat_template_file.empty()) require_readable_file("chat-template", model.chat_template_file);
}

}  // namespace

void add_model_options(po::options_description& options) {
  options.add_options()("max-model-len", with_default(0),
                        "tokens of a prompt and its answer; 0: the model's own limit");
  options.add_options()("precision", with_default<std::string>("fast"),
                        "f32, or fast: bf16 or int8 activations where the machine has them");
  options.add_options()("hf-overrides", with_default<std::string>(""), "JSON object merged into config.json");
  options.add_options()("chat-template", with_default<std::string>(""), "Jinja file that replaces the model's own");
  options.add_options()("load", with_default<std::string>("auto"), "auto, map (memory-mapped) or read");
  options.add_options()("served-model-name", with_default<std::string>(""),
                        "the only 'model' that requests may name; empty: any");
}

void add_answer_options(po::options_description& options) {
  options.add_options()("use-model-sampling-defaults", po::bool_switch(),
                        "temperature, top_p … that requests leave out come from the model's generation_config.json");
  options.add_options()("max-logprobs", with_default(20), "log-probabilities per position that a request may ask for");
}

void add_machine_options(po::options_description& options) {
  std::string backends;
  for (Operations const* const operations : available_operations()) backends += text(", ", operations->name);
  options.add_options()("threads", with_default(0), "0: one per core that the process may use, pinned");
  options.add_options()("backend", with_default<std::string>("auto"), text("auto", backends).c_str());
  options.add_options()("kv-cache-memory", with_default<std::string>("0"),
                        "such as 4GiB; 0: 70 % of free memory (or of the cgroup's limit) at most");
  options.add_options()("max-num-seqs", with_default(64), "sequences that run at once");
  options.add_options()("max-num-batched-tokens", with_default(512), "prompt tokens computed in one step");
  options.add_options()("record", with_default<std::string>(""),
                        "write what the policies were asked and answered here, as JSON lines, for simulate --replay; "
                        "other ranks than the first add .rank1 …");
  options.add_options()("no-prefix-caching", po::bool_switch(), "compute equal beginnings of prompts each time");
}

int at_least(po::variables_map const& values, char const* name, int least) {
  int const value = values[name].as<int>();
  if (value < least) throw InputError(text("--", name, " ", value, " is too small; use ", least, " or more"));
  return value;
}

std::string required(po::variables_map const& values, char const* name) {
  if (!values.count(name) || values[name].as<std::string>().empty())
    throw InputError(text("--", name, " is missing (--help lists the options)"));
  return values[name].as<std::string>();
}

double drain_seconds(po::variables_map const& values) {
  double const seconds = values["drain-seconds"].as<double>();
  if (!(seconds >= 0 && seconds < 1e6))
    throw InputError("--drain-seconds must be a number of seconds from 0 to 1000000");
  return seconds;
}

std::map<std::string, std::string> shown_options(po::variables_map const& values) {
  std::map<std::string, std::string> options;
  for (auto const& [name, value] : values) options[name] = shown(value.value());
  return options;
}

EngineOptions engine_options(po::variables_map const& values) {
  auto const words = [&](char const* name) { return values[name].as<std::string>(); };
  auto const set = [&](char const* name) { return values[name].as<bool>(); };
  // Field by field: GCC 12 destroys members twice where a nested initialiser throws.
  EngineOptions options;
  options.model.path = required(values, "model");
  options.model.load = load_mode(words("load"));
  options.model.precision = precision(words("precision"));
  options.model.hf_overrides = words("hf-overrides");
  options.model.chat_template_file = words("chat-template");
  options.model.max_model_len = at_least(values, "max-model-len", 0);
  options.backend = words("backend");
  options.threads = at_least(values, "threads", 0);
  options.max_num_seqs = at_least(values, "max-num-seqs", 1);
  options.max_num_batched_tokens = at_least(values, "max-num-batched-tokens", 1);
  options.kv_cache_bytes = parse_bytes("kv-cache-memory", words("kv-cache-memory"));
  options.prefix_reuse = set("no-prefix-caching") ? PrefixReuse::off : PrefixReuse::on;
  options.served_model_name = words("served-model-name");
  options.max_logprobs = at_least(values, "max-logprobs", 0);
  options.use_model_sampling_defaults = set("use-model-sampling-defaults");
  options.record_file = words("record");
  require_writable_place("record", options.record_file);
  check_model_files(options.model);
  return options;
}

RequestRules request_rules(EngineOptions const& options, Model const& model) {
  RequestRules rules{.model_name = options.served_model_name.empty() ? options.model.path : options.served_model_name,
                     .served_model_name = options.served_model_name,
                     .tokenizer = model.tokenizer.get(),
                     .tokenizer_problem = model.tokenizer_problem,
                     .chat_problem = model.chat_template_problem,
                     .tool_calls = model.tool_calls,
                     .reasoning = model.reasoning,
                     .vocab = model.spec.vocab,
                     .max_model_len = model.max_model_len,
                     .max_logprobs = options.max_logprobs};
  if (model.chat_template)
    rules.render_chat = [&model](boost::json::object const& variables) {
      return model.chat_template->render(variables);
    };
  if (options.use_model_sampling_defaults) rules.defaults = model.suggested;
  return rules;
}

}  // namespace windlass
