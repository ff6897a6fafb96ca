/// Batch scripts of slurm/, filled in.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace windlass {

/// A file of slurm/, built into the program; nothing where there is none of that name.
std::optional<std::string_view> slurm_template(std::string_view name);

struct SlurmScript {
  std::string_view text;                                        ///< the template
  std::vector<std::pair<std::string, std::string>> directives;  ///< "time" to "60"; an empty value: the option alone
  std::vector<std::string> arguments;                           ///< of windlass, the subcommand first
  std::string program;                                          ///< path of windlass
  std::string site;  ///< path of the site's settings; empty: those of slurm/site.sh
};

/// The script: the template with its directives replaced and added to, its ARGUMENTS and its source of settings set.
/// "%a" in an argument becomes the number of the array's task.
std::string filled_in(SlurmScript const& script);

/// A word of bash that stands for exactly these characters.
std::string quoted_for_shell(std::string const& word);

}  // namespace windlass
