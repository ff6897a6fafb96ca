#include "mpi/window_transport.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <map>
#include <set>

#include "mpi/communicator.hpp"
#include "mpi/communicators.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr int first_group_tag = 1000;  ///< of MPI_Comm_create_group: apart from other users of the communicator

/// A window in its lock_all epoch.
class PoolWindow {
 public:
  PoolWindow(PoolRegion const& pool, Communicator const& pair) {
    auto const bytes = MPI_Aint(pool.page_bytes * pool.pages);
    check_mpi(MPI_Win_create(pool.base, bytes, 1, MPI_INFO_NULL, pair.get(), &window_), "MPI_Win_create");
    MPI_Win_set_errhandler(window_, MPI_ERRORS_RETURN);
    check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");
  }
  ~PoolWindow() {
    if (window_ == MPI_WIN_NULL) return;
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
  PoolWindow(PoolWindow&& other) noexcept : window_(std::exchange(other.window_, MPI_WIN_NULL)) {}
  PoolWindow& operator=(PoolWindow&&) = delete;

  MPI_Win get() const { return window_; }
  void abandon() { window_ = MPI_WIN_NULL; }

 private:
  MPI_Win window_ = MPI_WIN_NULL;
};

struct Peer {
  Communicator pair;
  int peer = 0;                     // its rank in `pair`
  std::vector<PoolWindow> windows;  // [groups]; freed before `pair`

  void abandon() {
    for (PoolWindow& window : windows) window.abandon();
    pair.abandon();
  }
};

}  // namespace

struct WindowTransport::Links {
  std::vector<PoolRegion> pools;
  Communicator world = duplicate_world();
  std::map<int, Peer> peers;  // by world rank
  std::set<std::pair<int, std::uint64_t>> done;

  /// Communicator and windows of this rank's link with another one.
  void join(KvLink const& link, int tag) {
    bool const is_first = world_place().world_rank == link.first_rank;
    Peer made{.pair = pair_communicator(world, {.first = link.first_rank, .second = link.second_rank}, tag),
              .peer = is_first ? 1 : 0,
              .windows = {}};
    Peer& peer = peers.emplace(is_first ? link.second_rank : link.first_rank, std::move(made)).first->second;
    for (PoolRegion const& pool : pools) peer.windows.emplace_back(pool, peer.pair);
  }

  void put(Peer const& peer, PagePair pair) const {
    auto const page = pools[pair.group].page(pair.local);
    ensure(page.size() <= std::size_t(std::numeric_limits<int>::max()), "a KV page of more than 2 GiB");
    auto const offset = MPI_Aint(pair.remote * page.size());
    check_mpi(MPI_Put(page.data(), int(page.size()), MPI_BYTE, peer.peer, offset, int(page.size()), MPI_BYTE,
                      peer.windows[pair.group].get()),
              "MPI_Put");
  }
};

WindowTransport::WindowTransport(std::vector<PoolRegion> pools, std::span<KvLink const> links)
    : links_(std::make_unique<Links>()) {
  links_->pools = std::move(pools);
  int const own = world_place().world_rank;
  std::exception_ptr problem;
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (own == links[i].first_rank || own == links[i].second_rank) {
      try {
        links_->join(links[i], first_group_tag + int(i));
      } catch (MpiError const&) {  // the ranks of the other links wait for this one
        if (!problem) problem = std::current_exception();
      }
    }
    // One link after the other: Open MPI names the shared state of a window after the job and the number of the
    // communicator, which two links may have in common; made at once, they would take each other's file.
    meet(links_->world);
  }
  if (!problem) return;
  abandon();
  std::rethrow_exception(problem);
}

void WindowTransport::abandon() {
  for (auto& [rank, peer] : links_->peers) peer.abandon();
}

WindowTransport::~WindowTransport() = default;

/// Puts and flush at once: MPI moves the bytes in these calls on one host (CMA), and elsewhere while the peer's own MPI
/// thread makes progress.
void WindowTransport::send(KvJob const& job) {
  Peer const& peer = links_->peers.at(job.peer_rank);
  std::set<std::uint32_t> groups;
  for (PagePair const pair : job.pages) {
    links_->put(peer, pair);
    groups.insert(pair.group);
  }
  for (std::uint32_t const group : groups)
    check_mpi(MPI_Win_flush(peer.peer, peer.windows[group].get()), "MPI_Win_flush");
  links_->done.insert({job.peer_rank, job.transfer});
}

bool WindowTransport::progress() { return false; }

bool WindowTransport::sent(KvJob const& job) const { return links_->done.contains({job.peer_rank, job.transfer}); }

bool WindowTransport::received(KvJob const& job) {
  auto const peer = links_->peers.find(job.peer_rank);
  if (peer == links_->peers.end()) return false;
  for (PoolWindow const& window : peer->second.windows) MPI_Win_sync(window.get());
  return true;
}

/// Whether puts of the sender may still come is the sender's to say.
bool WindowTransport::forget(KvJob const& job) {
  links_->done.erase({job.peer_rank, job.transfer});
  return true;
}

}  // namespace windlass
