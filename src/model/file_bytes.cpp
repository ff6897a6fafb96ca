#include "src/model/file_bytes.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/piece_cache.hpp"

namespace windlass {

class FileBytes::Source {
 public:
  virtual ~Source() = default;
  virtual void read(std::uint64_t offset, std::span<std::byte> out) const = 0;
  virtual void sample(std::uint64_t offset, std::span<std::byte> out) const { read(offset, out); }
  virtual bool reads_pieces() const { return false; }
};

namespace {

class Descriptor {
 public:
  Descriptor(std::string path) : path_(std::move(path)), fd_(open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) throw FileError(path_, "open", errno);
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;

  std::uint64_t size() const {
    struct stat facts {};
    if (fstat(fd_, &facts) != 0) throw FileError(path_, "stat", errno);
    if (!S_ISREG(facts.st_mode)) throw InputError(path_ + ": is not a regular file; give the path of a model file");
    return std::uint64_t(facts.st_size);
  }

  bool is_local() const {
    struct statfs facts {};
    if (fstatfs(fd_, &facts) != 0) return false;
    constexpr long xfs_magic = 0x58465342, zfs_magic = 0x2fc12fc1, bcachefs_magic = long(0xca451a4e);
    constexpr std::array local{long(EXT4_SUPER_MAGIC),
                               long(BTRFS_SUPER_MAGIC),
                               long(TMPFS_MAGIC),
                               long(OVERLAYFS_SUPER_MAGIC),
                               long(F2FS_SUPER_MAGIC),
                               long(RAMFS_MAGIC),
                               long(SQUASHFS_MAGIC),
                               long(HUGETLBFS_MAGIC),
                               xfs_magic,
                               zfs_magic,
                               bcachefs_magic};
    return std::find(local.begin(), local.end(), long(facts.f_type)) != local.end();
  }

  void read(std::uint64_t offset, std::span<std::byte> out) const {
    for (std::size_t done = 0; done < out.size();) {
      ssize_t const got = pread(fd_, out.data() + done, out.size() - done, off_t(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw FileError(path_, text("read at offset ", offset + done), errno);
      if (got == 0)
        throw InputError(text(path_, ": the file ends at byte ", offset + done, ", before byte ", offset + out.size(),
                              "; it was cut while it was read: copy or download it again"));
      done += std::size_t(got);
    }
  }

 private:
  std::string path_;
  int fd_;
};

class PageCacheSource final : public FileBytes::Source {
 public:
  explicit PageCacheSource(Descriptor file) : file_(std::move(file)) {}
  void read(std::uint64_t offset, std::span<std::byte> out) const override { file_.read(offset, out); }

 private:
  Descriptor file_;
};

class PieceSource final : public FileBytes::Source {
 public:
  PieceSource(Descriptor file, std::uint64_t size)
      : file_(std::move(file)),
        cache_(size, [this](std::uint64_t offset, std::span<std::byte> out) { file_.read(offset, out); }) {}
  void read(std::uint64_t offset, std::span<std::byte> out) const override { cache_.read(offset, out); }
  void sample(std::uint64_t offset, std::span<std::byte> out) const override { file_.read(offset, out); }
  bool reads_pieces() const override { return true; }

 private:
  Descriptor file_;
  mutable PieceCache cache_;
};

class MemorySource final : public FileBytes::Source {
 public:
  explicit MemorySource(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

FileBytes::FileBytes(std::string path, LoadMode mode) : path_(std::move(path)) {
  Descriptor file(path_);
  size_ = file.size();
  if (mode == LoadMode::map || (mode == LoadMode::automatic && file.is_local()))
    source_ = std::make_unique<PageCacheSource>(std::move(file));
  else
    source_ = std::make_unique<PieceSource>(std::move(file), size_);
}

FileBytes::FileBytes(std::string path, std::uint64_t size, std::unique_ptr<Source> source)
    : path_(std::move(path)), size_(size), source_(std::move(source)) {}

FileBytes FileBytes::from_memory(std::string name, std::vector<std::byte> bytes) {
  std::uint64_t const size = bytes.size();
  return {std::move(name), size, std::make_unique<MemorySource>(std::move(bytes))};
}

FileBytes::~FileBytes() = default;
FileBytes::FileBytes(FileBytes&&) noexcept = default;
FileBytes& FileBytes::operator=(FileBytes&&) noexcept = default;

bool FileBytes::reads_pieces() const { return source_->reads_pieces(); }

void FileBytes::check_range(std::uint64_t offset, std::size_t bytes) const {
  if (offset > size_ || bytes > size_ - offset)
    throw InputError(text(path_, ": bytes ", offset, " to ", offset + bytes, " are needed, but the file has ", size_,
                          "; it is cut: copy or download it again"));
}

void FileBytes::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (out.empty()) return;
  check_range(offset, out.size());
  source_->read(offset, out);
}

void FileBytes::sample(std::uint64_t offset, std::span<std::byte> out) const {
  if (out.empty()) return;
  check_range(offset, out.size());
  source_->sample(offset, out);
}

std::string read_text_file(std::string const& path, std::uint64_t limit_bytes) {
  FileBytes const file(path, LoadMode::map);
  if (file.size() > limit_bytes)
    throw InputError(
        text(path, ": has ", file.size(), " bytes, more than the ", limit_bytes, " expected of such a file"));
  std::string content(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(content)));
  return content;
}

}  // namespace windlass
