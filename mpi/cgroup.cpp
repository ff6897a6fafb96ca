#include "mpi/cgroup.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace windlass {
namespace {

namespace fs = std::filesystem;

bool lists(std::string const& controllers, std::string const& wanted) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');)
    if (name == wanted) return true;
  return false;
}

/// Inside a container the path in /proc may name folders that are not mounted; then the mount's root is the group.
std::vector<std::string> folders_up(std::string const& root, std::string const& below) {
  std::vector<std::string> folders;
  std::error_code failed;
  for (fs::path group = fs::path(below).relative_path(); !group.empty(); group = group.parent_path())
    if (fs::is_directory(fs::path(root) / group, failed)) folders.push_back((fs::path(root) / group).string());
  if (fs::is_directory(root, failed)) folders.push_back(root);
  return folders;
}

}  // namespace

std::optional<ControlGroup> find_control_group(std::string const& controller, std::string const& proc,
                                               std::string const& cgroup) {
  std::ifstream lines(proc + "/self/cgroup");
  std::optional<ControlGroup> unified;
  for (std::string line; std::getline(lines, line);) {  // "3:cpu,cpuacct:/path" or, version 2, "0::/path"
    std::size_t const first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string const controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (lists(controllers, controller)) {
      std::error_code failed;
      std::string const root =
          cgroup + "/" + (fs::is_directory(cgroup + "/" + controllers, failed) ? controllers : controller);
      return ControlGroup{.version = ControlGroup::Version::v1, .folders = folders_up(root, path)};
    }
    if (controllers.empty()) unified = ControlGroup{.folders = folders_up(cgroup, path)};
  }
  return unified;
}

std::optional<double> number_in(std::string const& path) {
  std::ifstream file(path);
  double number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

std::optional<double> number_of_key(std::string const& path, std::string const& key) {
  std::ifstream file(path);
  std::string name;
  for (double number = 0; file >> name >> number;)
    if (name == key) return number;
  return std::nullopt;
}

}  // namespace windlass
