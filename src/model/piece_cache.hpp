/// Large aligned pieces of a file, read by several threads at a time and kept until others push them out.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace windlass {

constexpr std::uint64_t file_piece_bytes = std::uint64_t(16) << 20;

/// Safe from any thread. A thread that needs a piece which another one is reading reads the next missing one in the
/// meantime, so that as many reads run as there are threads that wait.
class PieceCache {
 public:
  using Read = std::function<void(std::uint64_t offset, std::span<std::byte> out)>;
  /// `read` may throw; the error reaches everybody who asked for that piece.
  PieceCache(std::uint64_t file_bytes, Read read, std::size_t pieces_kept = 6)
      : file_bytes_(file_bytes), read_(std::move(read)), pieces_kept_(pieces_kept) {}

  /// offset + out.size() <= file_bytes.
  void read(std::uint64_t offset, std::span<std::byte> out);

 private:
  struct Piece {
    std::uint64_t index;
    bool ready = false;
    std::exception_ptr failure;
    std::vector<std::byte> bytes;
  };
  using Lock = std::unique_lock<std::mutex>;

  std::shared_ptr<Piece> piece(std::uint64_t index);
  std::shared_ptr<Piece> find(std::uint64_t index);
  std::shared_ptr<Piece> load(std::uint64_t index, Lock& lock);
  void read_ahead(std::uint64_t after, Lock& lock);

  std::uint64_t file_bytes_;
  Read read_;
  std::size_t pieces_kept_;
  std::mutex mutex_;
  std::condition_variable loaded_;
  std::list<std::shared_ptr<Piece>> pieces_;  ///< last used first
};

}  // namespace windlass
