/// Owned file descriptors, and the lock that keeps two jobs from one output.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace windlass {

/// Owns one descriptor. Errors are FileErrors that name the path.
class OpenFile {
 public:
  /// `flags` as of open(2); O_CLOEXEC is added, new files are made with mode 0666.
  OpenFile(std::string path, int flags);
  ~OpenFile();
  OpenFile(OpenFile const&) = delete;
  OpenFile& operator=(OpenFile const&) = delete;

  std::string const& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  std::uint64_t size_bytes() const;
  bool regular() const;
  void write_all(std::string_view bytes) const;
  void truncate(std::uint64_t bytes) const;

 private:
  std::string path_;
  int descriptor_;
};

enum class LockResult : unsigned char { locked, held_by_another, not_supported };

/// Takes a write lock on the whole file that lasts until the file is closed; never waits. Throws FileError.
LockResult try_lock(OpenFile const& file);

/// Writes every byte to a descriptor. Throws FileError naming `path`.
void write_all(int descriptor, std::string const& path, std::string_view bytes);

}  // namespace windlass
