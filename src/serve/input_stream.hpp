/// Bytes of a batch's input: a file or standard input, plain or compressed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace windlass {

/// Local; one thread reads. Other threads may ask for the counts and stop it.
class InputStream {
 public:
  virtual ~InputStream() = default;
  /// Fills some of `space` and returns how much; 0 at the end. Throws FileError, or InputError where compressed data is
  /// damaged or cut off.
  virtual std::size_t read(std::span<char> space) = 0;
  /// The running and every later read() ends soon, as if at the end, also where it waits for a pipe.
  virtual void stop() = 0;
  virtual std::uint64_t stored_bytes_read() const = 0;            ///< as stored: before decompression
  virtual std::optional<std::uint64_t> stored_bytes() const = 0;  ///< in all; unknown for pipes
};

/// Opens `path` ("-" is standard input) and does not wait for a pipe's first bytes; gzip and zstd are told by them.
/// Throws FileError, or InputError where the data is compressed and this build cannot read that (for a pipe, read()
/// does).
std::unique_ptr<InputStream> open_input(std::string const& path);

struct ContentHash {
  std::string hex;  ///< 32 digits: the chained hash of parts of 1 MiB
  std::uint64_t bytes = 0;
};

/// Reads the whole file as it is stored. Throws FileError.
ContentHash hash_of_file(std::string const& path);

}  // namespace windlass
