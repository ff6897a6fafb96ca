/// Moves the bytes of pages from one rank's pools into granted pages of another's. Used on the MPI thread alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

enum class TransportKind : std::uint32_t {
  shared,  ///< pages lie in memory that both ranks map: nothing is copied
  window,  ///< MPI one-sided puts into the receiver's pools
  message  ///< MPI sends and receives: works everywhere
};
char const* transport_name(TransportKind kind);
/// Nothing for other words.
std::optional<TransportKind> transport_called(std::string_view name);

/// One pool's own memory on this rank, with pages as large as on every rank.
struct PoolRegion {
  std::byte* base = nullptr;
  std::size_t page_bytes = 0;
  std::uint32_t pages = 0;       ///< that `base` spans
  std::uint32_t first_page = 0;  ///< the number of the page at `base`

  std::span<std::byte> page(std::uint32_t number) const {
    return {base + (number - first_page) * page_bytes, page_bytes};
  }
};

struct PagePair {
  std::uint32_t group = 0;
  std::uint32_t local = 0;   ///< page number on this rank
  std::uint32_t remote = 0;  ///< pages of the peer's region before it
};

struct KvJob {
  std::uint64_t transfer = 0;  ///< unique between sender and receiver
  int peer_rank = 0;
  std::vector<PagePair> pages;  ///< the same order on both sides
};

/// What a transfer's bytes went through.
class KvTransport {
 public:
  virtual ~KvTransport() = default;
  virtual TransportKind kind() const = 0;

  /// The sender's side, once the pages are granted; then progress() until sent().
  virtual void send(KvJob const& job) = 0;
  /// The receiver's side, before the grant is sent.
  virtual void receive(KvJob const& job) = 0;
  virtual bool progress() = 0;  ///< true where something happened; never waits
  /// Every byte of the transfer has left; the receiver will see it once told so.
  virtual bool sent(KvJob const& job) const = 0;
  /// After the sender has told that all is sent: every byte is here, visible to this process.
  virtual bool received(KvJob const& job) = 0;
  /// Forgets a transfer, finished or not. False where the peer's bytes may still arrive in its pages.
  virtual bool forget(KvJob const& job) = 0;
};

/// Splits `pages` into runs whose bytes together reach `least_bytes` each where possible: [begin, end) indices.
struct PageBatch {
  std::size_t begin = 0, end = 0;
};
constexpr std::size_t least_batch_bytes = std::size_t{1} << 20;
std::vector<PageBatch> batches_of(std::span<PagePair const> pages, std::span<PoolRegion const> pools,
                                  std::size_t least_bytes = least_batch_bytes);

}  // namespace windlass
