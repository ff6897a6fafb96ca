// windlass submit: a batch script for the same options as `windlass batch` or `windlass serve`, handed to sbatch.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options/value_semantic.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "jobs/batch_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/slurm_script.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"
#include "src/store/checkpoint_file.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

constexpr char const* introduction =
    "windlass submit [OPTIONS] batch|serve ...\n"
    "\n"
    "Writes a Slurm script for `windlass batch ...` or `windlass serve ...` and submits it. A batch is requeued until "
    "it\n"
    "is done; without --checkpoint it gets the folder OUTPUT.checkpoint. \"%a\" in its options is the number of the\n"
    "array's task.\n"
    "\n"
    "  windlass submit --time 60 batch --model m.gguf --input in.jsonl --output out.jsonl\n"
    "  windlass submit --array 0-9%4 batch --model m.gguf --input in-%a.jsonl --output out-%a.jsonl\n"
    "  windlass submit --nodes 2 --ntasks 2 batch --layout prefill=1,decode=1 --model m.gguf ...\n\n";

/// Options of sbatch that are taken over as they are.
constexpr char const* passed_on[] = {"nodes",    "ntasks", "cpus-per-task", "time",     "partition", "account",
                                     "qos",      "gres",   "constraint",    "mem",      "job-name",  "array",
                                     "log-file", "signal", "dependency",    "exclusive"};

po::options_description submit_options() {
  po::options_description options("Options", 118, 80);
  for (char const* name : passed_on) {
    bool const renamed = std::string_view(name) == "log-file";
    options.add_options()(name, po::value<std::string>()->implicit_value(""),
                          text("as sbatch --", renamed ? "output" : name).c_str());
  }
  options.add_options()("sbatch", po::value<std::vector<std::string>>(),
                        "any other option of sbatch, such as \"comment=x\"; may be repeated");
  options.add_options()("site", po::value<std::string>()->default_value(""),
                        "the site's settings (slurm/site.sh changed); without it the built-in ones");
  options.add_options()("script", po::value<std::string>()->default_value(""),
                        "where the script is written; default: OUTPUT.sbatch, or windlass-serve.sbatch");
  options.add_options()("no-requeue", po::bool_switch(), "do not run the job again when work remains");
  options.add_options()("dry-run", po::bool_switch(), "print the script, and write and submit nothing");
  options.add_options()("help,h", "print this");
  return options;
}

std::string value_of(std::vector<std::string> const& words, std::string const& option) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == option && i + 1 < words.size()) return words[i + 1];
    if (words[i].rfind(option + "=", 0) == 0) return words[i].substr(option.size() + 1);
  }
  return "";
}

bool has(std::vector<std::string> const& words, std::string const& option) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string const& word) { return word == option || word.rfind(option + "=", 0) == 0; });
}

std::string own_path() {
  std::error_code failed;
  fs::path const path = fs::read_symlink("/proc/self/exe", failed);
  return failed ? "windlass" : path.string();
}

/// The batch's own words, with what makes it last: mistakes are told now, not when the job starts.
std::vector<std::string> batch_words(std::vector<std::string> words, po::variables_map const& values) {
  bool const is_array = values.count("array") > 0;
  std::string const output = value_of(words, "--output");
  if (output == "-") throw InputError("--output -: a job that is requeued needs a file");
  if (!has(words, "--checkpoint") && checkpoints_supported() && !output.empty()) {
    words.push_back("--checkpoint");
    words.push_back(output + ".checkpoint");
  }
  if (!values["no-requeue"].as<bool>() && !has(words, "--requeue")) words.push_back("--requeue");
  if (!is_array) parse_batch_options({words.begin() + 1, words.end()});
  return words;
}

std::vector<std::pair<std::string, std::string>> directives(po::variables_map const& values) {
  std::vector<std::pair<std::string, std::string>> chosen;
  for (char const* name : passed_on)
    if (values.count(name))
      chosen.emplace_back(std::string_view(name) == "log-file" ? "output" : name, values[name].as<std::string>());
  if (values.count("sbatch"))
    for (std::string const& option : values["sbatch"].as<std::vector<std::string>>()) {
      auto const at = option.find('=');
      chosen.emplace_back(option.substr(0, at), at == std::string::npos ? "" : option.substr(at + 1));
    }
  for (auto const& [name, value] : chosen)
    if (name.empty() || (name + value).find('\n') != std::string::npos)
      throw InputError(text("--sbatch ", name, ": give \"option=value\", without the leading dashes, on one line"));
  return chosen;
}

std::string script_path(po::variables_map const& values, std::vector<std::string> const& words) {
  std::string const chosen = values["script"].as<std::string>();
  if (!chosen.empty()) return chosen;
  if (words.front() == "serve") return "windlass-serve.sbatch";
  std::string output = value_of(words, "--output");
  for (std::size_t at; (at = output.find("%a")) != std::string::npos;) output.replace(at, 2, "array");
  return output + ".sbatch";
}

int submit(std::string const& path) {
  std::string const command = "sbatch " + quoted_for_shell(path);
  int const status = std::system(command.c_str());
  if (status == 0) return exit_done;
  throw InputError(text(path, ": sbatch did not take it; the script is there, correct it or the options"));
}

}  // namespace

int submit_command(std::vector<std::string> const& words) {
  auto const is_subcommand = [](std::string const& word) { return word == "batch" || word == "serve"; };
  auto const at = std::find_if(words.begin(), words.end(), is_subcommand);
  auto const options = submit_options();
  po::variables_map const values = parse_words({words.begin(), at}, options, "");
  if (values.count("help")) {
    std::cout << introduction << options;
    return exit_done;
  }
  if (at == words.end()) throw InputError("windlass submit: name batch or serve, with its options (--help)");
  std::vector<std::string> arguments(at, words.end());
  if (arguments.front() == "batch") arguments = batch_words(std::move(arguments), values);
  std::string const name = arguments.front() == "serve" ? "serve" : values.count("array") ? "array" : "batch";
  std::string const site = values["site"].as<std::string>();
  if (!site.empty()) require_readable_file("site", site);
  std::string const script = filled_in({.text = slurm_template(name).value(),
                                        .directives = directives(values),
                                        .arguments = arguments,
                                        .program = own_path(),
                                        .site = site.empty() ? "" : fs::absolute(site).string()});
  if (values["dry-run"].as<bool>()) {
    std::cout << script;
    return exit_done;
  }
  std::string const path = script_path(values, arguments);
  replace_file(path, script);
  return submit(path);
}

}  // namespace windlass
