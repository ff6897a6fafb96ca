#include "jobs/cluster.hpp"

#include <algorithm>

#include "jobs/layout_table.hpp"
#include "mpi/communicators.hpp"
#include "mpi/message_transport.hpp"
#include "mpi/window_transport.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

/// [world ranks] what each rank says.
std::vector<std::string> say(MpiJob const& job, std::string const& words) {
  if (!job.uses_mpi()) return {words};
  std::vector<std::string> all;
  for (auto const& bytes : gather_from_all(std::as_bytes(std::span(words.data(), words.size()))))
    all.emplace_back(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  return all;
}

std::vector<PoolRegion> regions_of(Engine const& engine) {
  std::vector<PoolRegion> regions;
  for (LayerGroup const& group : engine.groups()) {
    PagePool const& pool = *group.pool;
    regions.push_back({.base = pool.bytes(PageId{pool.first_page()}).data(),
                       .page_bytes = pool.shape().page_bytes(),
                       .pages = pool.pages()});
  }
  return regions;
}

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

/// Windows if every rank could make its own, else messages.
std::unique_ptr<KvTransport> choose_transport(MpiJob const& job, ClusterPlan const& plan, Engine const* engine,
                                              std::string const& wanted) {
  auto const pools = engine != nullptr ? regions_of(*engine) : std::vector<PoolRegion>();
  std::unique_ptr<KvTransport> windows;
  std::string problem;
  if (wanted != "message") {
    try {
      windows = std::make_unique<WindowTransport>(pools, links_of(plan.layout));
    } catch (std::exception const& error) {
      problem = error.what();
    }
    for (std::string const& words : say(job, problem))
      if (!words.empty()) problem = words;
    if (problem.empty()) return windows;
    if (wanted == "window")
      throw InputError(text("--transport window: ", problem, "; this MPI has no such windows here, use message"));
    windows.reset();
  }
  return std::make_unique<MessageTransport>(pools);
}

void refuse_degrees(LayoutPlan const& plan) {
  for (PlannedInstance const& instance : plan.instances)
    if (instance.tp * instance.pp > 1)
      throw InputError(text("--layout ", to_text(plan.layout),
                            ": this version computes an instance on one rank; leave "
                            "out tp and pp"));
}

}  // namespace

PlannedInstance const* ClusterPlan::own_instance() const {
  for (PlannedInstance const& instance : layout.instances)
    if (std::find(instance.ranks.begin(), instance.ranks.end(), world_rank) != instance.ranks.end()) return &instance;
  return nullptr;
}

bool ClusterPlan::is_spare(int rank) const {
  return std::find(layout.spare_ranks.begin(), layout.spare_ranks.end(), rank) != layout.spare_ranks.end();
}

EnginePlace ClusterPlan::own_place() const {
  if (map.ranks.size() == 1) return {};
  PlannedInstance const* const own = own_instance();
  return {.cpus = cores_of_rank(map, world_rank),
          .host_ranks = map.ranks_on(map.host_of[std::size_t(world_rank)]),
          .after_prompt = own != nullptr && own->role == Role::prefill ? AfterPrompt::hold : AfterPrompt::decode,
          .record_suffix = world_rank > 0 ? text(".rank", world_rank) : ""};
}

bool ClusterPlan::hands_over_kv() const {
  return std::any_of(layout.instances.begin(), layout.instances.end(),
                     [](PlannedInstance const& instance) { return instance.role == Role::prefill; });
}

ClusterPlan plan_cluster(MpiJob const& job, Layout const& wanted) {
  bool const alone = job.place().world_ranks == 1;  // then nothing is shared, and nobody needs to know the host
  ClusterPlan plan{
      .map = alone ? make_job_map({HostMap{.domains = {NumaDomain{}}}}) : gather_job_map(job, read_host_map()),
      .layout = {},
      .world_rank = job.place().world_rank};
  plan.layout = plan_job_layout(wanted, plan.map, {});
  refuse_degrees(plan.layout);
  plan.job_epoch = std::stoull(from_rank_0(job, std::to_string(now_us())));
  return plan;
}

void agree(MpiJob const& job, std::string const& problem) {
  auto const problems = say(job, problem);
  for (std::size_t rank = 0; rank < problems.size(); ++rank)
    if (!problems[rank].empty())
      throw InputError(problems.size() == 1 ? problems[rank] : text("rank ", rank, ": ", problems[rank]));
}

std::string from_rank_0(MpiJob const& job, std::string const& words) {
  return say(job, job.place().world_rank == 0 ? words : "").front();
}

void agree_on(MpiJob const& job, std::string const& words) {
  std::string first;
  auto const all = say(job, words);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].empty()) continue;
    if (first.empty()) first = all[rank];
    if (all[rank] != first)
      throw InputError(text("rank ", rank, " computes with ", all[rank], ", others with ", first,
                            ": answers would differ; name one --backend that all hosts have, and one model"));
  }
}

std::string model_and_arithmetic(EngineSetup const& setup) {
  return text("arithmetic ", setup.arithmetic, ", model ", to_hex(setup.model.identity));
}

Cluster::Cluster(MpiJob const& job, ClusterPlan const& plan, Engine* engine, std::string const& transport) {
  if (plan.hands_over_kv()) transport_ = choose_transport(job, plan, engine, transport);
  if (transport_) transport_name_ = windlass::transport_name(transport_->kind());
  CourierConfig config{.job_epoch = plan.job_epoch};
  for (int rank = 0; rank < job.place().world_ranks; ++rank)
    if (rank != plan.world_rank && (plan.world_rank == 0 || rank == 0)) config.heartbeat_ranks.push_back(rank);
  if (plan.world_rank == 0) config.failures_to = 0;
  courier_ = std::make_unique<Courier>(config);
  if (engine == nullptr) return;
  if (transport_)
    exchange_ = std::make_unique<KvExchange>(*courier_, *transport_, regions_of(*engine), KvExchangeConfig{});
  worker_ = std::make_unique<Worker>(*engine, *courier_, exchange_.get(), WorkerConfig{});
}

/// Whoever uses MPI on the courier's thread goes first; windows are freed when the thread is gone.
Cluster::~Cluster() {
  join_worker();
  worker_.reset();
  exchange_.reset();
  courier_.reset();
}

bool Cluster::has_losses() const { return has_losses_ || (worker_ && worker_->knows_of_losses()); }

void Cluster::start_worker() {
  if (worker_) thread_ = std::jthread([this] { worker_->run(); });
}

void Cluster::join_worker() {
  if (thread_.joinable()) thread_.join();
}

WorkerEnd Cluster::run_worker() {
  if (worker_) return worker_->run();
  constexpr auto patience = std::chrono::milliseconds(200);
  WorkerConfig const config;
  for (;;) {
    auto const envelope = courier_->receive(Inbox::worker, patience);
    if (envelope && envelope->tag() == Tag::peer_lost) {
      auto const message = decode<PeerLost>(envelope->frame);
      courier_->give_up(int(message.rank), message.fate);
      has_losses_ = true;
    }
    if (envelope && envelope->tag() == Tag::shutdown)
      return decode<Shutdown>(envelope->frame).failed == 0 ? WorkerEnd::done : WorkerEnd::failed;
    if (courier_->silence_us(0) > config.controller_silence_us) return WorkerEnd::controller_lost;
  }
}

}  // namespace windlass
