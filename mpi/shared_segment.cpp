#include "mpi/shared_segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "mpi/memory_limit.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

std::string path_of(std::string const& name) { return "/dev/shm" + name; }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor const&) = delete;
  Descriptor& operator=(Descriptor const&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::shared_ptr<void const> map(Descriptor const& file, std::size_t bytes, int protection, std::string const& name) {
  void* const at = ::mmap(nullptr, bytes, protection, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED) throw FileError(path_of(name), "map", errno);
  return {at, [bytes](void const* memory) { ::munmap(const_cast<void*>(memory), bytes); }};
}

std::span<std::byte> span_of(std::shared_ptr<void const> const& mapping, std::size_t bytes) {
  return {static_cast<std::byte*>(const_cast<void*>(mapping.get())), bytes};
}

}  // namespace

SharedSegment SharedSegment::create(std::string const& name, std::size_t bytes) {
  Descriptor const file(::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (file.get() < 0) throw FileError(path_of(name), "make", errno);
  try {
    if (int const failed = ::posix_fallocate(file.get(), 0, off_t(bytes)); failed != 0)
      throw FileError(path_of(name), "take memory for", failed);
    auto mapping = map(file, bytes, PROT_READ | PROT_WRITE, name);
    return {span_of(mapping, bytes), mapping};
  } catch (...) {
    remove_name(name);
    throw;
  }
}

SharedSegment SharedSegment::open(std::string const& name, Access access) {
  bool const writes = access == Access::read_write;
  Descriptor const file(::shm_open(name.c_str(), (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0));
  if (file.get() < 0) throw FileError(path_of(name), "open", errno);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) throw FileError(path_of(name), "look at", errno);
  auto const bytes = std::size_t(facts.st_size);
  auto mapping = map(file, bytes, PROT_READ | (writes ? PROT_WRITE : 0), name);
  return {span_of(mapping, bytes), mapping};
}

void SharedSegment::remove_name(std::string const& name) noexcept { ::shm_unlink(name.c_str()); }

std::size_t shared_memory_room() {
  constexpr std::size_t margin_parts = 16;  // a sixteenth stays free for others
  std::size_t room = std::numeric_limits<std::size_t>::max();
  struct statvfs facts {};
  if (::statvfs("/dev/shm", &facts) == 0) room = std::size_t(facts.f_bavail) * facts.f_frsize;
  if (std::uint64_t const free_bytes = available_memory_bytes(); free_bytes > 0)
    room = std::min<std::size_t>(room, free_bytes);
  return room - room / margin_parts;
}

}  // namespace windlass
