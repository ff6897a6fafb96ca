#include "jobs/serve_backend.hpp"

#include <algorithm>

#include "jobs/batch_worker.hpp"
#include "jobs/kv_sharing.hpp"
#include "jobs/layout_table.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr auto patience_of_farewell = std::chrono::seconds(5);  ///< for live ranks to take the word that all is done
constexpr auto patience_of_step = std::chrono::microseconds(1000);  ///< clients wait for their first token

}  // namespace

ServeBackend::ServeBackend(ServeOptions const& options, JobPlace const& place)
    : options_(options), place_(place), plan_(plan_cluster(place.mpi, options.layout)) {}

ServeBackend::~ServeBackend() {
  if (remote_) remote_->shut_down(DistributedRunner::End::failed);
}

void ServeBackend::load() {
  if (place_.mpi.place().world_ranks == 1) {
    setup_ = set_up_engine(options_.engine, std::nullopt);
    local_ = std::make_unique<EngineRunner>(*setup_->engine);
    return;
  }
  load_shard();
  gather_weight_reads(place_.mpi, setup_.get());
  std::unique_ptr<Collective> collective = make_collective(plan_.own_ranks());
  KvSharing sharing(place_.mpi, plan_, plan_.computes() ? setup_.get() : nullptr, options_.transport);
  together(place_.mpi,
           [&] { start_engine(*setup_, options_.engine, sharing.place(plan_.own_place()), std::move(collective)); });
  start(sharing);
}

void ServeBackend::load_shard() {
  from_rank_0(place_.mpi, "");  // no arithmetic is recorded
  auto shared = share_weights(plan_, options_.engine.model);
  together(place_.mpi, [&] {
    setup_ = load_engine(options_.engine, std::nullopt, plan_.own_place(), shared ? &*shared : nullptr);
  });
  if (setup_->plan_log) record_layout(*setup_->plan_log, options_.layout, plan_.map);
  agree_on(place_.mpi, model_and_arithmetic(*setup_));
}

void ServeBackend::start(KvSharing& sharing) {
  cluster_ = std::make_unique<Cluster>(place_.mpi, plan_, plan_.computes() ? setup_.get() : nullptr, sharing);
  DistributedConfig config{.spare_ranks = plan_.layout.spare_ranks,
                           .kill_rank = [this](int rank) { return place_.watch.kill(rank); },
                           .patience = patience_of_step};
  std::erase(config.spare_ranks, 0);  // rank 0 is never a spare for itself
  config.failures.silence_us = Microseconds(options_.lost_after_seconds * 1e6);
  config.plan_log = setup_->plan_log.get();
  remote_ = std::make_unique<DistributedRunner>(cluster_->courier(), plan_.layout.instances, config);
  place_.watch.on_end([this](ProcessEnd end) {
    if (end.world_rank == ProcessEnd::launcher) place_.launcher_ended();
    rank_ended_ = true;
    cluster_->courier().send(0, RankEnded{.rank = std::uint32_t(end.world_rank), .fate = RankFate::ended});
  });
  cluster_->start_worker();
}

void ServeBackend::end() {
  if (!remote_) return;
  remote_->shut_down(DistributedRunner::End::done);
  if (has_losses()) cluster_->courier().flush(patience_of_farewell);
}

std::string ServeBackend::layout_text() const {
  if (!cluster_) return "";
  std::string const transport = cluster_->transport_name();
  return to_text(plan_.layout, plan_.map) + (transport.empty() ? "" : "KV moves by " + transport);
}

int run_serve_worker(ServeOptions const& options, MpiJob const& job, ProcessWatch& watch) {
  BatchOptions worker;
  worker.engine = options.engine;
  worker.layout = options.layout;
  worker.transport = options.transport;
  return run_batch_worker(worker, job, watch);
}

}  // namespace windlass
