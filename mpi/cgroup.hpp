/// The control groups of this process.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace windlass {

struct ControlGroup {
  enum class Version : unsigned char { v1, v2 } version = Version::v2;
  /// Folders from the process's own group up to the root; those that are not mounted here are left out.
  std::vector<std::string> folders;
};

/// The group of `controller` ("memory", "cpu"). `proc` and `cgroup` are mount points. Nothing where there is none.
std::optional<ControlGroup> find_control_group(std::string const& controller, std::string const& proc,
                                               std::string const& cgroup);

/// The first number in a file; nothing where the file is missing or says something else ("max").
std::optional<double> number_in(std::string const& path);

/// The number behind `key` in a file of "key number" lines.
std::optional<double> number_of_key(std::string const& path, std::string const& key);

}  // namespace windlass
