#include "jobs/option_parsing.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;

void read_config_file(std::string const& path, po::options_description const& options, po::variables_map& values) {
  std::ifstream file(path);
  if (!file) throw InputError(text("--config ", path, ": cannot be opened; name a file of lines 'option = value'"));
  if (std::filesystem::is_directory(path)) throw InputError(text("--config ", path, ": is a folder, not a file"));
  try {
    po::store(po::parse_config_file(file, options), values);
  } catch (po::error const& error) {
    throw InputError(text(path, ": ", error.what()));
  }
}

/// Words that no option takes are refused by name, which Boost's own message leaves out.
po::parsed_options parse(std::vector<std::string> const& words, po::options_description const& options,
                         std::string const& positional) {
  int const style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  po::command_line_parser parser(words);
  parser.options(options).style(style);
  po::positional_options_description places;
  if (!positional.empty()) parser.positional(places.add(positional.c_str(), 1));
  po::parsed_options parsed = parser.run();
  for (auto const& option : parsed.options)
    if (option.string_key.empty())
      throw InputError(text("'", option.value.front(), "' belongs to no option (--help lists the options)"));
  return parsed;
}

}  // namespace

po::variables_map parse_words(std::vector<std::string> const& words, po::options_description const& options,
                              std::string const& positional) {
  po::variables_map values;
  try {
    po::store(parse(words, options, positional), values);
  } catch (po::error const& error) {
    throw InputError(text(error.what(), " (--help lists the options)"));
  }
  if (values.count("config")) read_config_file(values["config"].as<std::string>(), options, values);
  try {
    po::notify(values);
  } catch (po::error const& error) {
    throw InputError(text(error.what(), " (--help lists the options)"));
  }
  return values;
}

std::int64_t parse_bytes(std::string const& option, std::string const& value) {
  struct Unit {
    char const* name;
    double bytes;
  };
  static constexpr std::array<Unit, 15> units = {{{"", 1},
                                                  {"b", 1},
                                                  {"k", 0x1p10},
                                                  {"kib", 0x1p10},
                                                  {"kb", 1e3},
                                                  {"m", 0x1p20},
                                                  {"mib", 0x1p20},
                                                  {"mb", 1e6},
                                                  {"g", 0x1p30},
                                                  {"gib", 0x1p30},
                                                  {"gb", 1e9},
                                                  {"t", 0x1p40},
                                                  {"tib", 0x1p40},
                                                  {"tb", 1e12},
                                                  {"pib", 0x1p50}}};
  double number = 0;
  auto const [end, failed] = std::from_chars(value.data(), value.data() + value.size(), number);
  std::string unit(end, value.data() + value.size());
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  auto const found = std::find_if(units.begin(), units.end(), [&](Unit const& one) { return unit == one.name; });
  if (failed != std::errc{} || found == units.end() || number < 0 || number * found->bytes > 0x1p62)
    throw InputError(text("--", option, " ", value, " is not a size; write it like 4GiB, 512MiB or a number of bytes"));
  return std::int64_t(number * found->bytes);
}

void require_readable_file(std::string const& option, std::string const& path) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) throw InputError(text("--", option, " ", path, " does not exist"));
  if (std::filesystem::is_directory(path, failed))
    throw InputError(text("--", option, " ", path, " is a folder; name a file"));
  if (::access(path.c_str(), R_OK) != 0)
    throw InputError(text("--", option, " ", path, " cannot be read: ", std::strerror(errno)));
}

void require_writable_place(std::string const& option, std::string const& path) {
  if (path.empty()) return;
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed))
    throw InputError(text("--", option, " ", path, " is a folder; name a file in it"));
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (!std::filesystem::is_directory(folder, failed))
    throw InputError(text("--", option, " ", path, ": there is no folder ", folder.string(), "; make it first"));
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    throw InputError(
        text("--", option, " ", path, ": the folder ", folder.string(), " cannot be written: ", std::strerror(errno)));
}

EnvironmentLookup process_environment() {
  return [](char const* name) -> std::optional<std::string> {
    char const* const value = std::getenv(name);
    if (!value) return std::nullopt;
    return std::string(value);
  };
}

}  // namespace windlass
