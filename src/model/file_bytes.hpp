/// The bytes of a model file, read where they are needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/model/load_mode.hpp"

namespace windlass {

/// Nothing stays mapped: a read copies out of the page cache, which costs as much as the first touch of a mapping would
/// (weights are repacked, so every byte is read once), and a failing disk or a file that somebody cuts is an error
/// message instead of SIGBUS. `read` is safe from any thread.
class FileBytes {
 public:
  /// Throws FileError where the file cannot be opened or is not a regular file.
  FileBytes(std::string path, LoadMode mode);
  /// Bytes in memory, for tests and fuzzing; `name` is for messages.
  static FileBytes from_memory(std::string name, std::vector<std::byte> bytes);
  ~FileBytes();
  FileBytes(FileBytes&&) noexcept;
  FileBytes& operator=(FileBytes&&) noexcept;

  std::string const& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  /// Whether pieces of 16 MiB are read (LoadMode::read, or automatic on a file system that is not local).
  bool reads_pieces() const;

  /// Throws FileError where the system fails, InputError where the file ends before offset + out.size().
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  /// The same for a few bytes here and there: never reads a piece of 16 MiB for them.
  void sample(std::uint64_t offset, std::span<std::byte> out) const;

  class Source;

 private:
  FileBytes(std::string path, std::uint64_t size, std::unique_ptr<Source> source);
  void check_range(std::uint64_t offset, std::size_t bytes) const;
  std::string path_;
  std::uint64_t size_ = 0;
  std::unique_ptr<Source> source_;
};

/// A whole small file as text. Throws FileError, or InputError where it is larger than `limit_bytes`.
std::string read_text_file(std::string const& path, std::uint64_t limit_bytes);

}  // namespace windlass
