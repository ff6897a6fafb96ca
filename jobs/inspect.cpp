// windlass inspect: what a model file holds and needs. Reads headers only.
#include <boost/program_options/value_semantic.hpp>
#include <iostream>

#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/option_parsing.hpp"
#include "kernels/operations.hpp"
#include "mpi/memory_limit.hpp"
#include "src/core/error.hpp"
#include "src/model/describe.hpp"

namespace windlass {

int inspect_command(std::vector<std::string> const& words) {
  if (!words.empty() && words.front() == "topology") return inspect_topology_command({words.begin() + 1, words.end()});
  namespace po = boost::program_options;
  po::options_description options(
      "windlass inspect MODEL: architecture, tensors, bytes, and what fits into memory\n"
      "windlass inspect CHECKPOINT: what a checkpoint folder (or one checkpoint-*.h5) holds, every page checked\n"
      "windlass inspect topology: hosts, cores and devices of all ranks",
      118, 80);
  options.add_options()("model", po::value<std::string>(), "a GGUF file or a Hugging Face folder");
  options.add_options()("hf-overrides", po::value<std::string>()->default_value(""),
                        "JSON object merged into config.json");
  options.add_options()("memory", po::value<std::string>()->default_value("0"), "such as 64GiB; 0: what is free here");
  options.add_options()("precision", po::value<std::string>()->default_value("fast"),
                        "f32 or fast: the KV cache's values");
  options.add_options()("help,h", "print this");
  po::variables_map const values = parse_words(words, options, "model");
  if (values.count("help")) {
    std::cout << options;
    return exit_done;
  }
  if (!values.count("model")) throw InputError("name a model or a checkpoint: windlass inspect MODEL");
  if (is_checkpoint(values["model"].as<std::string>()))
    return inspect_checkpoint_command(values["model"].as<std::string>());
  std::string const precision = values["precision"].as<std::string>();
  if (precision != "f32" && precision != "fast") throw InputError("--precision must be f32 or fast");
  auto const given = parse_bytes("memory", values["memory"].as<std::string>());
  KvFormat const format = precision == "f32" ? KvFormat::f32 : operations("auto").fast_kv;
  InspectOptions const shown{.bytes_per_value = bytes_per_value(format),
                             .memory_bytes = given > 0 ? std::uint64_t(given) : available_memory_bytes()};
  ModelConfig const config{.path = values["model"].as<std::string>(),
                           .hf_overrides = values["hf-overrides"].as<std::string>()};
  std::cout << to_text(describe(config), shown);
  return exit_done;
}

}  // namespace windlass
