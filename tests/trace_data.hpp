/// Large public traces stay outside the repository: tests that want them take their folder from WINDLASS_DATA.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace windlass {

/// Path of a trace, where the folder is given and has it.
inline std::optional<std::string> trace_file(std::string const& name) {
  char const* folder = std::getenv("WINDLASS_DATA");
  if (folder == nullptr) return std::nullopt;
  std::string const path = std::string(folder) + "/" + name;
  return std::filesystem::exists(path) ? std::optional(path) : std::nullopt;
}

}  // namespace windlass
