#include "src/store/locked_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "src/core/error.hpp"

namespace windlass {
namespace {

struct stat status_of(OpenFile const& file) {
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) throw FileError(file.path(), "read the status", errno);
  return status;
}

}  // namespace

OpenFile::OpenFile(std::string path, int flags)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), flags | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) throw FileError(path_, (flags & O_CREAT) ? "create or open" : "open", errno);
}

OpenFile::~OpenFile() { ::close(descriptor_); }

std::uint64_t OpenFile::size_bytes() const { return std::uint64_t(status_of(*this).st_size); }
bool OpenFile::regular() const { return S_ISREG(status_of(*this).st_mode); }
void OpenFile::write_all(std::string_view bytes) const { windlass::write_all(descriptor_, path_, bytes); }

void OpenFile::truncate(std::uint64_t bytes) const {
  if (::ftruncate(descriptor_, off_t(bytes)) != 0) throw FileError(path_, "cut to size", errno);
}

LockResult try_lock(OpenFile const& file) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(file.descriptor(), F_OFD_SETLK, &lock) == 0) return LockResult::locked;
  if (errno == EAGAIN || errno == EACCES) return LockResult::held_by_another;
  if (errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL) return LockResult::not_supported;
  throw FileError(file.path(), "lock", errno);
}

void write_all(int descriptor, std::string const& path, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t const written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw FileError(path, "write", errno);
    bytes.remove_prefix(std::size_t(written));
  }
}

}  // namespace windlass
