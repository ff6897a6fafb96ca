#include "jobs/kv_sharing.hpp"

#include <algorithm>

#include "mpi/link_probe.hpp"
#include "mpi/message_transport.hpp"
#include "mpi/window_transport.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

/// Pairs of leaders that hand KV to each other, and of spare ranks with all of them, each once, in an order that all
/// ranks agree on.
std::vector<KvLink> links_of(LayoutPlan const& layout) {
  std::vector<std::pair<int, int>> pairs;
  for (int const spare : layout.spare_ranks) {
    for (PlannedInstance const& instance : layout.instances)
      pairs.emplace_back(std::min(spare, instance.ranks.front()), std::max(spare, instance.ranks.front()));
    for (int const other : layout.spare_ranks)
      if (spare < other) pairs.emplace_back(spare, other);
  }
  for (PlannedInstance const& instance : layout.instances) {
    if (instance.role != Role::prefill) continue;
    for (int const peer : instance.peers) {
      int const from = instance.ranks.front(), to = layout.instances[std::size_t(peer)].ranks.front();
      pairs.emplace_back(std::min(from, to), std::max(from, to));
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  std::vector<KvLink> links;
  for (auto const& [first, second] : pairs) links.push_back({.first_rank = first, .second_rank = second});
  return links;
}

/// What the first rank with a problem says; empty where there is none.
std::string first_problem(MpiJob const& job, std::string const& own) {
  for (std::string const& words : say(job, own))
    if (!words.empty()) return words;
  return "";
}

/// Windows if every rank could make its own, else messages. `wanted`: auto, shared, window or message.
std::unique_ptr<KvTransport> copying_transport(MpiJob const& job, std::vector<PoolRegion> const& regions,
                                               std::span<KvLink const> links, std::string const& wanted) {
  if (wanted == "message" || wanted == "shared") return std::make_unique<MessageTransport>(regions);
  std::unique_ptr<WindowTransport> windows;
  std::string problem;
  try {
    windows = std::make_unique<WindowTransport>(regions, links);
  } catch (std::exception const& error) {
    problem = error.what();
  }
  problem = first_problem(job, problem);
  if (problem.empty()) return windows;
  if (windows) windows->abandon();
  if (wanted == "window")
    throw InputError(text("--transport window: ", problem, "; this MPI has no such windows here, use message"));
  windows.reset();
  return std::make_unique<MessageTransport>(regions);
}

/// Links whose ranks cannot reach each other's pages; the same on every rank.
std::vector<KvLink> links_apart(MpiJob const& job, std::span<KvLink const> links, SharedPools const& pools) {
  std::string own;
  for (std::size_t i = 0; i < links.size(); ++i) {
    bool const tells = links[i].first_rank == job.place().world_rank;
    own += tells && !pools.reaches(links[i].second_rank) ? 'x' : '-';
  }
  auto const all = say(job, own);
  std::vector<KvLink> apart;
  for (std::size_t i = 0; i < links.size(); ++i)
    if (all[std::size_t(links[i].first_rank)].at(i) == 'x') apart.push_back(links[i]);
  return apart;
}

}  // namespace

KvSharing::KvSharing(MpiJob const& job, ClusterPlan const& plan, EngineSetup* setup, std::string const& wanted)
    : wanted_(wanted) {
  if (!plan.hands_over_kv() || (wanted != "auto" && wanted != "shared")) return;
  PlannedInstance const* const own = plan.own_instance();
  bool const whole_pages = setup != nullptr && (own == nullptr || own->ranks.size() == 1);
  if (!whole_pages) setup = nullptr;
  pools_ = std::make_shared<SharedPools>(whole_pages ? SharedPools::Takes::part : SharedPools::Takes::no_part);
  std::int64_t least = INT64_MAX;
  for (std::string const& words : say(job, setup != nullptr ? std::to_string(setup->kv_bytes) : ""))
    if (!words.empty()) least = std::min(least, std::int64_t(std::stoll(words)));
  if (setup != nullptr) setup->kv_bytes = least;
}

EnginePlace KvSharing::place(EnginePlace own) const {
  if (!pools_ || !pools_->takes_part()) return own;
  own.pool_memory = [pools = pools_](int, PagePoolConfig const& pool) {
    return pools->reserve(pool.shape.page_bytes(), pool.pages);
  };
  return own;
}

/// Whether pages change hands between any two ranks; a warning, or an error, where they should and cannot.
bool KvSharing::connect_pools(ClusterPlan const& plan) {
  if (!pools_) return false;
  if (pools_->connect()) return true;
  if (wanted_ == "shared") throw InputError(text("--transport shared: ", pools_->problem(), "; use auto"));
  if (plan.world_rank == 0) log_warning(text("KV is copied, not shared: ", pools_->problem()));
  return false;
}

std::unique_ptr<KvTransport> KvSharing::connect(MpiJob const& job, ClusterPlan const& plan,
                                                std::vector<PoolRegion> const& regions) {
  if (!plan.hands_over_kv()) return nullptr;
  bool const connected = connect_pools(plan);
  auto const links = links_of(plan.layout);
  auto const apart = connected ? links_apart(job, links, *pools_) : links;
  if (wanted_ == "shared" && !apart.empty())
    throw InputError(text("--transport shared: ranks ", apart.front().first_rank, " and ", apart.front().second_rank,
                          " do not map each other's pages (they are on different machines, or share their model with "
                          "other ranks, and then have parts of pages); use auto"));
  auto transport = copying_transport(job, regions, links, wanted_);
  name_ = transport_name(transport->kind());
  if (apart.size() < links.size()) name_ = wanted_ == "shared" ? "shared" : "shared, else " + name_;
  if (!links.empty()) measure(job, apart.empty() ? links.front() : apart.front());
  return transport;
}

void KvSharing::measure(MpiJob const& job, KvLink const& link) {
  LinkProbe const probe{
      .from_rank = link.first_rank, .to_rank = link.second_rank, .message_bytes = std::size_t{1} << 20, .messages = 16};
  int const own = job.place().world_rank;
  bool const takes_part = own == probe.from_rank || own == probe.to_rank;
  std::vector<std::byte> memory(takes_part ? probe.message_bytes * std::size_t(probe.messages) : 0);
  double const measured = measure_link_gb_per_s(probe, memory);
  link_gb_per_s_ = std::stod(say(job, std::to_string(measured))[std::size_t(probe.from_rank)]);
}

std::vector<PoolRegion> regions_of(std::span<LayerGroup const> groups) {
  std::vector<PoolRegion> regions;
  for (LayerGroup const& group : groups) {
    PagePool const& pool = *group.pool;
    regions.push_back({.base = pool.bytes(PageId{pool.first_page()}).data(),
                       .page_bytes = pool.shape().page_bytes(),
                       .pages = pool.pages(),
                       .first_page = pool.first_page()});
  }
  return regions;
}

}  // namespace windlass
