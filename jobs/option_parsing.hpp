/// What subcommands share in reading their options.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "mpi/launcher.hpp"

namespace windlass {

/// Fills a map from the words of the command line and, behind them, the file that its option --config names (lines
/// "name = value"). Throws InputError naming the option that does not exist or has a bad value. `positional`: the
/// option that words without a name belong to; empty: none may be there.
boost::program_options::variables_map parse_words(std::vector<std::string> const& words,
                                                  boost::program_options::options_description const& options,
                                                  std::string const& positional);

/// "4GiB", "512M" (binary), "1.5GB" (decimal), "1000000". Throws InputError naming the option.
std::int64_t parse_bytes(std::string const& option, std::string const& value);

/// Throws InputError naming the option where `path` is no file that can be read.
void require_readable_file(std::string const& option, std::string const& path);

/// Throws InputError naming the option where a file cannot be made or written at `path`: better now than after hours of
/// work. An empty path is none.
void require_writable_place(std::string const& option, std::string const& path);

/// The process's environment. Only jobs/ looks into it.
EnvironmentLookup process_environment();

}  // namespace windlass
