/// A folder for a process's own use.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "src/core/error.hpp"

namespace windlass {

/// A folder that only its owner can enter, among the system's temporary ones; gone with this.
class PrivateFolder {
 public:
  /// Throws FileError.
  explicit PrivateFolder(std::string const& name)
      : path_((std::filesystem::temp_directory_path() / (name + "-XXXXXX")).string()) {
    if (::mkdtemp(path_.data()) == nullptr) throw FileError(path_, "make a folder", errno);
  }
  ~PrivateFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  PrivateFolder(PrivateFolder const&) = delete;
  PrivateFolder& operator=(PrivateFolder const&) = delete;

  std::string const& path() const { return path_; }
  std::string file(char const* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace windlass
