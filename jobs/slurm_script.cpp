#include "jobs/slurm_script.hpp"

#include <algorithm>
#include <sstream>

#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr std::string_view directive = "#SBATCH --";

/// The option that a line of the template sets; empty where it sets none, or several.
std::string option_of(std::string const& line) {
  if (line.rfind(directive, 0) != 0) return "";
  std::string const rest = line.substr(directive.size());
  return rest.find(' ') == std::string::npos ? rest.substr(0, rest.find('=')) : "";
}

std::string directive_line(std::pair<std::string, std::string> const& each) {
  return text(directive, each.first, each.second.empty() ? "" : "=", each.second, "\n");
}

std::string arguments_line(std::vector<std::string> const& arguments) {
  std::string line = "ARGUMENTS=(";
  for (std::size_t i = 0; i < arguments.size(); ++i) line += text(i > 0 ? " " : "", quoted_for_shell(arguments[i]));
  return text(line, ")\n");
}

/// Of the template's settings, or of the site's own file.
std::string settings(SlurmScript const& script) {
  std::string const program = text(": \"${WINDLASS:=", script.program, "}\"\n");
  if (!script.site.empty()) return text(program, "source ", quoted_for_shell(script.site), " || exit\n");
  return text(program, "# --- slurm/site.sh: windlass submit --site FILE takes another one\n",
              slurm_template("site").value_or(""), "# ---\n");
}

}  // namespace

std::string quoted_for_shell(std::string const& word) {
  std::string out(1, '\'');
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '%' && i + 1 < word.size() && word[i + 1] == 'a') {
      out += "'\"$SLURM_ARRAY_TASK_ID\"'";
      ++i;
    } else if (word[i] == '\'') {
      out += "'\\''";
    } else {
      out += word[i];
    }
  }
  out += '\'';
  return out;
}

std::string filled_in(SlurmScript const& script) {
  std::istringstream in{std::string(script.text)};
  std::string out;
  bool added = false, in_arguments = false;
  auto const add_directives = [&] {
    if (!added)
      for (auto const& each : script.directives) out += directive_line(each);
    added = true;
  };
  for (std::string line; std::getline(in, line);) {
    if (in_arguments) {
      in_arguments = !line.ends_with(")");
      continue;
    }
    std::string const option = option_of(line);
    bool const replaced = !option.empty() && std::any_of(script.directives.begin(), script.directives.end(),
                                                         [&](auto const& each) { return each.first == option; });
    if (replaced || line.rfind("TASK=", 0) == 0) continue;
    if (line.empty() || line.rfind("#SBATCH hetjob", 0) == 0) add_directives();
    if (line.rfind("ARGUMENTS=(", 0) == 0) {
      in_arguments = !line.ends_with(")");
      out += arguments_line(script.arguments);
    } else if (line.rfind("source ", 0) == 0) {
      out += settings(script);
    } else {
      out += line;
      out += '\n';
    }
  }
  return out;
}

}  // namespace windlass
