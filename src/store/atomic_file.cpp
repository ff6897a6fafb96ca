#include "src/store/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "src/core/error.hpp"
#include "src/store/locked_file.hpp"

namespace windlass {

void sync_folder_of(std::string const& path) {
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  OpenFile const opened(folder.string(), O_RDONLY | O_DIRECTORY);
  if (::fsync(opened.descriptor()) != 0 && errno != EINVAL)  // some file systems cannot sync a folder
    throw FileError(folder.string(), "sync the folder", errno);
}

void replace_file(std::string const& path, std::string_view content) {
  std::string const beside = path + ".new";
  {
    OpenFile const file(beside, O_WRONLY | O_CREAT | O_TRUNC);
    file.write_all(content);
    if (::fsync(file.descriptor()) != 0) throw FileError(beside, "sync", errno);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) throw FileError(path, "rename its new content to it", errno);
  sync_folder_of(path);
}

std::optional<std::string> read_small_file(std::string const& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    if (errno == ENOENT) return std::nullopt;
    throw FileError(path, "open", errno);
  }
  std::ostringstream content;
  content << in.rdbuf();
  if (in.bad()) throw FileError(path, "read", errno);
  return std::move(content).str();
}

}  // namespace windlass
