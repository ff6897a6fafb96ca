#include "src/model/piece_cache.hpp"

#include <algorithm>
#include <cstring>

namespace windlass {

void PieceCache::read(std::uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    std::uint64_t const within = offset % file_piece_bytes;
    auto const count = std::size_t(std::min<std::uint64_t>(out.size(), file_piece_bytes - within));
    std::shared_ptr<Piece> const from = piece(offset / file_piece_bytes);
    std::memcpy(out.data(), from->bytes.data() + within, count);
    out = out.subspan(count);
    offset += count;
  }
}

std::shared_ptr<PieceCache::Piece> PieceCache::piece(std::uint64_t index) {
  Lock lock(mutex_);
  std::shared_ptr<Piece> found = find(index);
  if (found == nullptr) {
    found = load(index, lock);
  } else if (!found->ready) {
    read_ahead(index, lock);
    loaded_.wait(lock, [&] { return found->ready; });
  }
  if (found->failure) std::rethrow_exception(found->failure);
  return found;
}

/// The piece, moved to the front, or null.
std::shared_ptr<PieceCache::Piece> PieceCache::find(std::uint64_t index) {
  auto const at = std::find_if(pieces_.begin(), pieces_.end(), [&](auto const& p) { return p->index == index; });
  if (at == pieces_.end()) return nullptr;
  pieces_.splice(pieces_.begin(), pieces_, at);
  return pieces_.front();
}

/// Reads a missing piece with the lock open, and drops those used longest ago (their readers keep them alive).
std::shared_ptr<PieceCache::Piece> PieceCache::load(std::uint64_t index, Lock& lock) {
  auto const piece = std::make_shared<Piece>(Piece{.index = index});
  pieces_.push_front(piece);
  if (pieces_.size() > pieces_kept_) {
    auto const oldest = std::find_if(pieces_.rbegin(), pieces_.rend(), [](auto const& p) { return p->ready; });
    if (oldest != pieces_.rend()) pieces_.erase(std::next(oldest).base());
  }
  lock.unlock();
  std::uint64_t const offset = index * file_piece_bytes;
  try {
    piece->bytes.resize(std::size_t(std::min(file_piece_bytes, file_bytes_ - offset)));
    read_(offset, piece->bytes);
  } catch (...) {
    piece->failure = std::current_exception();
  }
  lock.lock();
  piece->ready = true;
  loaded_.notify_all();
  return piece;
}

/// Reads the next missing piece, if it is near enough to be still there when its turn comes.
void PieceCache::read_ahead(std::uint64_t after, Lock& lock) {
  for (std::uint64_t next = after + 1; next < after + pieces_kept_ - 1; ++next) {
    if (next * file_piece_bytes >= file_bytes_) return;
    bool const known = std::any_of(pieces_.begin(), pieces_.end(), [&](auto const& p) { return p->index == next; });
    if (known) continue;
    load(next, lock);
    return;
  }
}

}  // namespace windlass
