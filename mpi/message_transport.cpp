#include "mpi/message_transport.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

#include "mpi/communicator.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

/// Transfers between two ranks that are under way together have different tags: there are never so many.
constexpr std::uint64_t mpi_tags = 30'000;

enum class Direction : bool { out, in };

/// One transfer's batches in one direction.
struct Flow {
  KvJob job;
  Direction direction = Direction::out;
  std::vector<PageBatch> batches;
  std::vector<std::vector<std::byte>> packed;  // [batches]: empty where the batch is one page
  std::vector<MPI_Request> requests;           // [batches started]
  std::size_t open = 0;                        // batches not finished

  bool finished() const { return requests.size() == batches.size() && open == 0; }
};

constexpr std::size_t most_open = 16;  ///< batches of a flow under way

}  // namespace

struct MessageTransport::Links {
  using Key = std::pair<int, std::uint64_t>;  // peer, transfer

  Communicator bytes = duplicate_world();
  std::vector<PoolRegion> pools;
  std::map<std::pair<Direction, Key>, Flow> flows;
  std::vector<std::vector<std::byte>> spare_buffers;  // of finished batches: fresh memory costs more than the copy
  std::vector<Flow> leaked;                           // sends to a peer that takes them no more: their buffers live on

  static Key key_of(KvJob const& job) { return {job.peer_rank, job.transfer}; }

  std::span<std::byte> page(Flow const& flow, std::size_t i) const {
    return pools[flow.job.pages[i].group].page(flow.job.pages[i].local);
  }

  std::size_t batch_bytes(Flow const& flow, PageBatch batch) const {
    std::size_t total = 0;
    for (std::size_t i = batch.begin; i < batch.end; ++i) total += page(flow, i).size();
    return total;
  }

  void begin(KvJob const& job, Direction direction) {
    auto batches = batches_of(job.pages, pools);
    Flow flow{.job = job, .direction = direction, .batches = std::move(batches)};
    flow.packed.resize(flow.batches.size());
    bool const fresh = flows.try_emplace({direction, key_of(job)}, std::move(flow)).second;
    ensure(fresh, "a transfer was started twice");
    start_more(flows.at({direction, key_of(job)}));
  }

  /// A receiver posts everything at once: a sender must never wait for it.
  bool start_more(Flow& flow) {
    bool any = false;
    while (flow.requests.size() < flow.batches.size() && (flow.direction == Direction::in || flow.open < most_open)) {
      start_batch(flow, flow.requests.size());
      any = true;
    }
    return any;
  }

  void start_batch(Flow& flow, std::size_t index) {
    PageBatch const batch = flow.batches[index];
    std::size_t const size = batch_bytes(flow, batch);
    ensure(size <= std::size_t(std::numeric_limits<int>::max()), "a KV page of more than 2 GiB");
    std::byte* buffer = page(flow, batch.begin).data();
    if (batch.end - batch.begin > 1) {
      if (!spare_buffers.empty()) {
        flow.packed[index] = std::move(spare_buffers.back());
        spare_buffers.pop_back();
      }
      flow.packed[index].resize(size);
      buffer = flow.packed[index].data();
      if (flow.direction == Direction::out) pack(flow, batch, buffer);
    }
    int const tag = int(flow.job.transfer % mpi_tags), count = int(size), peer = flow.job.peer_rank;
    MPI_Request request = MPI_REQUEST_NULL;
    if (flow.direction == Direction::out)
      check_mpi(MPI_Isend(buffer, count, MPI_BYTE, peer, tag, bytes.get(), &request), "MPI_Isend of KV");
    else
      check_mpi(MPI_Irecv(buffer, count, MPI_BYTE, peer, tag, bytes.get(), &request), "MPI_Irecv of KV");
    flow.requests.push_back(request);
    ++flow.open;
  }

  void pack(Flow const& flow, PageBatch batch, std::byte* to) const {
    for (std::size_t i = batch.begin; i < batch.end; ++i) {
      auto const from = page(flow, i);
      to = std::copy(from.begin(), from.end(), to);
    }
  }

  void unpack(Flow const& flow, PageBatch batch, std::byte const* from) const {
    for (std::size_t i = batch.begin; i < batch.end; ++i) {
      auto const to = page(flow, i);
      std::memcpy(to.data(), from, to.size());
      from += to.size();
    }
  }

  bool advance(Flow& flow) {
    bool any = false;
    for (std::size_t i = 0; i < flow.requests.size(); ++i) {
      if (flow.requests[i] == MPI_REQUEST_NULL) continue;
      int done = 0;
      check_mpi(MPI_Test(&flow.requests[i], &done, MPI_STATUS_IGNORE), "MPI_Test of KV");
      if (!done) continue;
      any = true;
      --flow.open;
      if (flow.direction == Direction::in && !flow.packed[i].empty())
        unpack(flow, flow.batches[i], flow.packed[i].data());
      if (!flow.packed[i].empty()) spare_buffers.push_back(std::exchange(flow.packed[i], {}));
    }
    return start_more(flow) || any;
  }

  bool finished(Direction direction, KvJob const& job) const {
    auto const at = flows.find({direction, key_of(job)});
    return at != flows.end() && at->second.finished();
  }

  /// A receive that is not matched can be taken back; one that is being filled cannot, and ends by itself.
  bool drop_receive(Flow& flow) {
    bool quiet = true;
    for (MPI_Request& request : flow.requests) {
      if (request == MPI_REQUEST_NULL) continue;
      MPI_Cancel(&request);
      int done = 0;
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      quiet = quiet && done;
    }
    return quiet;
  }

  bool forget(Direction direction, KvJob const& job) {
    auto const at = flows.find({direction, key_of(job)});
    if (at == flows.end()) return true;
    Flow& flow = at->second;
    if (flow.open > 0 && direction == Direction::in && !drop_receive(flow)) return false;
    if (flow.open > 0 && direction == Direction::out) leaked.push_back(std::move(flow));
    flows.erase(at);
    return true;
  }
};

MessageTransport::MessageTransport(std::vector<PoolRegion> pools) : links_(std::make_unique<Links>()) {
  links_->pools = std::move(pools);
}

MessageTransport::~MessageTransport() {
  bool const busy = !links_->leaked.empty() || std::any_of(links_->flows.begin(), links_->flows.end(),
                                                           [](auto const& flow) { return flow.second.open > 0; });
  if (!busy) return;
  links_->bytes.abandon();
  links_.release();  // MPI may still read or fill these buffers
}

void MessageTransport::send(KvJob const& job) { links_->begin(job, Direction::out); }
void MessageTransport::receive(KvJob const& job) { links_->begin(job, Direction::in); }

bool MessageTransport::progress() {
  bool any = false;
  for (auto& [key, flow] : links_->flows)
    if (!flow.finished()) any |= links_->advance(flow);
  return any;
}

bool MessageTransport::sent(KvJob const& job) const { return links_->finished(Direction::out, job); }
bool MessageTransport::received(KvJob const& job) { return links_->finished(Direction::in, job); }

bool MessageTransport::forget(KvJob const& job) {
  bool const out = links_->forget(Direction::out, job);
  return links_->forget(Direction::in, job) && out;
}

}  // namespace windlass
