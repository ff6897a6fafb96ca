#include "jobs/cluster.hpp"

#include <algorithm>
#include <sstream>

#include "jobs/kv_sharing.hpp"
#include "jobs/layout_table.hpp"
#include "mpi/communicators.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/model/placed_load.hpp"

namespace windlass {
namespace {

InstanceReach reach_of(std::span<int const> ranks, JobMap const& map) {
  auto const host = [&](int rank) { return map.host_of[std::size_t(rank)]; };
  bool const together = std::all_of(ranks.begin(), ranks.end(), [&](int r) { return host(r) == host(ranks.front()); });
  return together ? InstanceReach::one_host : InstanceReach::several_hosts;
}

}  // namespace

std::vector<std::string> say(MpiJob const& job, std::string const& words) {
  if (!job.uses_mpi()) return {words};
  std::vector<std::string> all;
  for (auto const& bytes : gather_from_all(std::as_bytes(std::span(words.data(), words.size()))))
    all.emplace_back(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  return all;
}

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
  int const tp = own != nullptr ? own->tp : 1, instance_rank = own_ranks().instance_rank;
  return {.cpus = cores_of_rank(map, world_rank),
          .host_ranks = map.ranks_on(map.host_of[std::size_t(world_rank)]),
          .after_prompt = own != nullptr && own->role == Role::prefill ? AfterPrompt::hold : AfterPrompt::decode,
          .tensor_parallel = {.degree = tp, .rank = instance_rank % tp},
          .pipeline = {.stages = own != nullptr ? own->pp : 1, .stage = instance_rank / tp},
          .computes = computes(),
          .record_suffix = world_rank > 0 ? text(".rank", world_rank) : ""};
}

InstanceRanks ClusterPlan::own_ranks() const {
  PlannedInstance const* const own = own_instance();
  InstanceRanks ranks{.world_ranks = {}, .job_epoch = job_epoch};
  for (PlannedInstance const& instance : layout.instances) ranks.most_stages = std::max(ranks.most_stages, instance.pp);
  if (own == nullptr) return ranks;
  ranks.world_ranks = own->ranks;
  ranks.stages = own->pp;
  ranks.instance_rank = int(std::find(own->ranks.begin(), own->ranks.end(), world_rank) - own->ranks.begin());
  ranks.reach = reach_of(own->ranks, map);
  auto const tp = std::size_t(own->tp), stage = std::size_t(ranks.instance_rank) / tp;
  ranks.stage_reach = reach_of(std::span(own->ranks).subspan(stage * tp, tp), map);
  return ranks;
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
  plan.job_epoch = std::stoull(from_rank_0(job, std::to_string(now_us())));
  return plan;
}

/// A rank that cannot measure shares nothing: loading tells why.
std::optional<SharedWeights> share_weights(ClusterPlan const& plan, ModelConfig const& config) {
  if (plan.map.ranks.size() == 1) return std::nullopt;
  WeightWish wish{.key = "", .bytes = 0, .job_epoch = plan.job_epoch};
  int const host = plan.map.host_of[std::size_t(plan.world_rank)];
  bool const may_share = plan.map.ranks_on(host) > 1 && plan.computes();
  if (may_share) {
    ModelConfig own = config;
    own.tensor_parallel = plan.own_place().tensor_parallel;
    own.pipeline = plan.own_place().pipeline;
    try {
      ThreadTeam team({.threads = 1});
      wish.bytes = packed_bytes(own, team);
      wish.key = text(host, ' ', own.tensor_parallel.degree, ' ', own.tensor_parallel.rank, ' ', own.pipeline.stages,
                      ' ', own.pipeline.stage, ' ', wish.bytes);
    } catch (std::exception const&) {
      wish.bytes = 0;
    }
  }
  return share_weights(wish);
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

WeightReads gather_weight_reads(MpiJob const& job, EngineSetup const* setup) {
  std::string const own = setup == nullptr ? "" : text(setup->read_weight_bytes, ' ', setup->model.load_seconds);
  WeightReads reads;
  for (std::string const& words : say(job, own)) {
    std::istringstream in(words);
    std::uint64_t bytes = 0;
    double seconds = 0;
    if (!(in >> bytes >> seconds)) continue;
    reads.ranks += bytes > 0;
    reads.bytes += bytes;
    reads.seconds = std::max(reads.seconds, seconds);
  }
  return reads;
}

std::string model_and_arithmetic(EngineSetup const& setup) {
  return text("arithmetic ", setup.arithmetic, ", model ", to_hex(setup.model.identity));
}

Cluster::Cluster(MpiJob const& job, ClusterPlan const& plan, EngineSetup const* setup, KvSharing& sharing) {
  Engine* const engine = setup != nullptr ? setup->engine.get() : nullptr;
  bool const leads_others = engine != nullptr && setup->collective->degree() > 1;
  if (plan.hands_over_kv() && leads_others)
    staging_ = std::make_unique<KvStaging>(*engine, setup->model, *setup->collective);
  std::vector<PoolRegion> regions;
  if (engine != nullptr) regions = regions_of(staging_ ? staging_->groups() : engine->groups());
  transport_ = sharing.connect(job, plan, regions);
  pools_ = sharing.pools();
  transport_name_ = sharing.name();
  link_gb_per_s_ = sharing.link_gb_per_s();
  CourierConfig config{.job_epoch = plan.job_epoch};
  for (int rank = 0; rank < job.place().world_ranks; ++rank)
    if (rank != plan.world_rank && (plan.world_rank == 0 || rank == 0)) config.heartbeat_ranks.push_back(rank);
  if (plan.world_rank == 0) config.failures_to = 0;
  courier_ = std::make_unique<Courier>(config);
  if (plan.traced) trace_ = std::make_unique<TraceRecorder>();
  if (setup != nullptr && setup->follower)
    follower_ = std::make_unique<FollowerWorker>(*setup->follower, *courier_, WorkerConfig{.trace = trace_.get()});
  if (engine == nullptr) return;
  if (transport_) exchange_ = std::make_unique<KvExchange>(*courier_, *transport_, regions, KvExchangeConfig{});
  worker_ = std::make_unique<Worker>(*engine, *courier_, exchange_.get(),
                                     WorkerConfig{.shared = pools_.get(),
                                                  .most_lent_share = sharing.most_lent_share(),
                                                  .staging = staging_.get(),
                                                  .trace = trace_.get()});
}

/// Whoever uses MPI on the courier's thread goes first; windows are freed when the thread is gone.
Cluster::~Cluster() {
  join_worker();
  worker_.reset();
  follower_.reset();
  exchange_.reset();
  courier_.reset();
}

bool Cluster::has_losses() const {
  return has_losses_ || (worker_ && worker_->knows_of_losses()) || (follower_ && follower_->knows_of_losses());
}

void Cluster::start_worker() {
  if (worker_ || follower_) thread_ = std::jthread([this] { work(); });
}

void Cluster::join_worker() {
  if (thread_.joinable()) thread_.join();
}

/// A broken instance is the controller's to replace.
WorkerEnd Cluster::work() {
  try {
    return worker_ ? worker_->run() : follower_->run();
  } catch (InstanceBroken const& error) {
    log_warning(text("rank ", courier_->world_rank(), ": ", error.what()));
    return WorkerEnd::instance_lost;
  }
}

WorkerEnd Cluster::run_worker() {
  if (worker_ || follower_) return work();
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
