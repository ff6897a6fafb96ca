#include "src/serve/input_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "src/core/error.hpp"
#include "src/core/hash.hpp"
#include "src/core/text.hpp"
#include "src/serve/decompress.hpp"

namespace windlass {
namespace {

constexpr int stop_check_ms = 100;
constexpr std::size_t hash_part_bytes = std::size_t{1} << 20;

/// A descriptor's bytes; the first few can be looked at before they are read.
class PlainStream final : public InputStream {
 public:
  explicit PlainStream(std::string const& path) : path_(path == "-" ? "standard input" : path) {
    owned_ = path != "-";
    descriptor_ = owned_ ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (descriptor_ < 0) throw FileError(path, "open", errno);
    struct stat status {};
    if (::fstat(descriptor_, &status) == 0) {
      if (S_ISREG(status.st_mode)) total_ = std::uint64_t(status.st_size);
      if (S_ISDIR(status.st_mode)) refuse_folder();
    }
  }
  ~PlainStream() override {
    if (owned_) ::close(descriptor_);
  }
  PlainStream(PlainStream const&) = delete;
  PlainStream& operator=(PlainStream const&) = delete;

  std::size_t read(std::span<char> space) override {
    if (!peeked_.empty()) {
      std::size_t const count = std::min(space.size(), peeked_.size());
      std::memcpy(space.data(), peeked_.data(), count);
      peeked_.erase(0, count);
      return count;
    }
    return read_some(space);
  }
  void stop() override { stopped_ = true; }
  std::uint64_t stored_bytes_read() const override { return read_bytes_; }
  std::optional<std::uint64_t> stored_bytes() const override { return total_; }

  std::string const& path() const { return path_; }
  /// Up to four bytes that the next reads give again.
  std::string const& peek() {
    char buffer[4];
    while (peeked_.size() < 4) {
      std::size_t const count = read_some({buffer, 4 - peeked_.size()});
      if (count == 0) break;
      peeked_.append(buffer, count);
    }
    return peeked_;
  }

 private:
  std::size_t read_some(std::span<char> space) {
    while (wait_for_bytes()) {
      ssize_t const count = ::read(descriptor_, space.data(), space.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw FileError(path_, "read", errno);
      read_bytes_ += std::uint64_t(count);
      return std::size_t(count);
    }
    return 0;
  }
  /// False once the stream is stopped.
  bool wait_for_bytes() const {
    while (!stopped_) {
      struct pollfd ready {
        .fd = descriptor_, .events = POLLIN, .revents = 0
      };
      if (::poll(&ready, 1, stop_check_ms) != 0) return true;  // an error shows when it is read
    }
    return false;
  }
  [[noreturn]] void refuse_folder() const {
    if (owned_) ::close(descriptor_);
    throw InputError(text(path_, ": is a folder; --input needs a file of JSON lines, or '-'"));
  }

  std::string path_;
  bool owned_ = false;
  int descriptor_ = -1;
  std::atomic<bool> stopped_ = false;
  std::atomic<std::uint64_t> read_bytes_ = 0;
  std::optional<std::uint64_t> total_;
  std::string peeked_;
};

/// Looks at the first bytes and unpacks what they announce: files at once, so that a problem shows early; pipes when
/// they are first read, since nothing may come for long.
class DetectingStream final : public InputStream {
 public:
  explicit DetectingStream(std::string const& path)
      : plain_(std::make_unique<PlainStream>(path)), stored_(plain_.get()), name_(plain_->path()) {
    if (stored_->stored_bytes()) detect();
  }
  std::size_t read(std::span<char> space) override {
    if (!unpacked_) detect();
    return unpacked_->read(space);
  }
  void stop() override { stored_->stop(); }
  std::uint64_t stored_bytes_read() const override { return stored_->stored_bytes_read(); }
  std::optional<std::uint64_t> stored_bytes() const override { return stored_->stored_bytes(); }

 private:
  void detect() {
    Compression const compression = compression_of(plain_->peek());
    unpacked_ = decompressed(std::move(plain_), compression, name_);
  }

  std::unique_ptr<PlainStream> plain_;  ///< until it is known what it holds
  PlainStream* const stored_;           ///< the same one, wherever it is
  std::string const name_;
  std::unique_ptr<InputStream> unpacked_;
};

}  // namespace

std::unique_ptr<InputStream> open_input(std::string const& path) { return std::make_unique<DetectingStream>(path); }

ContentHash hash_of_file(std::string const& path) {
  PlainStream file(path);
  std::vector<char> part(hash_part_bytes);
  Hash128 hash;
  std::uint64_t bytes = 0;
  for (std::size_t filled = 0;;) {
    std::size_t const count = file.read(std::span(part).subspan(filled));
    filled += count;
    if (count > 0 && filled < part.size()) continue;
    if (filled == 0) break;
    hash = hash_bytes(std::as_bytes(std::span(part).first(filled)), hash);
    bytes += filled;
    if (count == 0) break;
    filled = 0;
  }
  return {.hex = to_hex(hash), .bytes = bytes};
}

}  // namespace windlass
