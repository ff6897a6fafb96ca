#include "src/store/direct_io.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>

#include "src/core/error.hpp"

namespace windlass {

std::unique_ptr<OpenFile> open_direct(std::string const& path, int flags) {
  try {
    return std::make_unique<OpenFile>(path, flags | O_DIRECT);
  } catch (FileError const&) {
    return nullptr;
  }
}

AlignedMemory aligned_memory(std::size_t bytes) {
  std::size_t const whole = (bytes + direct_alignment - 1) / direct_alignment * direct_alignment;
  AlignedMemory memory(static_cast<std::byte*>(std::aligned_alloc(direct_alignment, whole)));
  if (!memory) throw std::bad_alloc();
  return memory;
}

int move_pieces(OpenFile const& file, Transfer transfer, std::uint64_t offset, std::span<iovec> pieces) {
  while (!pieces.empty()) {
    int const count = int(std::min<std::size_t>(pieces.size(), IOV_MAX));
    ssize_t moved = transfer == Transfer::read ? ::preadv(file.descriptor(), pieces.data(), count, off_t(offset))
                                               : ::pwritev(file.descriptor(), pieces.data(), count, off_t(offset));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return errno;
    if (moved == 0) return ENODATA;
    offset += std::uint64_t(moved);
    while (moved > 0) {
      iovec& first = pieces.front();
      std::size_t const part = std::min(first.iov_len, std::size_t(moved));
      first.iov_base = static_cast<char*>(first.iov_base) + part;
      first.iov_len -= part;
      moved -= ssize_t(part);
      if (first.iov_len == 0) pieces = pieces.subspan(1);
    }
  }
  return 0;
}

}  // namespace windlass
