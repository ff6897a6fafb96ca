#include "jobs/batch_run.hpp"

#include <unistd.h>

#include <cstdio>

#include "jobs/exit_codes.hpp"
#include "jobs/kv_sharing.hpp"
#include "jobs/layout_table.hpp"
#include "jobs/machine_share.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/version.hpp"
#include "mpi/launch_line.hpp"
#include "mpi/memory_limit.hpp"
#include "src/core/bytes_text.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

constexpr Microseconds patience_with_handoffs_us = 2'000'000;   ///< that are over, but not told of
constexpr Microseconds patience_with_traces_us = 2'000'000;     ///< of ranks that end
constexpr auto patience_of_farewell = std::chrono::seconds(5);  ///< for live ranks to take the word that all is done

}  // namespace

BatchRun::BatchRun(BatchOptions const& options, BatchPlace const& place)
    : options_(options),
      place_(place),
      plan_(plan_cluster(place.mpi, options.layout)),
      walltime_({.time_left_s = options.time_left_seconds, .drain_us = Microseconds(options.drain_seconds * 1e6)},
                process_environment(), place.signals),
      console_(options.quiet ? ProgressStyle::none : progress_style_of_standard_error()) {
  plan_.traced = !options_.trace_file.empty();
  together([&] {
    output_ = std::make_unique<BatchOutput>(options_);
    if (!options_.checkpoint.folder.empty()) checkpoint_ = std::make_unique<BatchCheckpoint>(options_, 0);
    if (!options_.trace_file.empty()) trace_ = std::make_unique<TraceFile>(options_.trace_file, plan_.layout);
  });
}

BatchRun::~BatchRun() {
  if (remote_) remote_->shut_down(DistributedRunner::End::failed);
}

int BatchRun::run() {
  set_up();
  count_allocation();
  RequestRules rules = request_rules(options_.engine, setup_->model);
  rules.job_seed = options_.seed;
  announce();
  BatchInput input(open_input(options_.input), rules, output_->finished(), {.max_line_bytes = options_.max_line_bytes});
  AnswerWriter writer(output_->lines(), ledger_, setup_->model.tokenizer.get());
  std::exception_ptr problem;
  BatchEnd end = BatchEnd::again;
  try {
    end = answer(input, writer);
  } catch (...) {
    problem = std::current_exception();
  }
  close(writer, problem);
  console_.finish(progress(input));  // now that the last records are safe and counted
  bool const nothing_done = ledger_.counts().records() == 0 && run_errors_ > 0;
  std::string const status = problem || nothing_done ? "failed" : end == BatchEnd::done ? "done" : "again";
  end_mark_ = {.records = std::int64_t(output_->finished().size()) + ledger_.counts().records(),
               .saved_tokens = checkpoint_ ? checkpoint_->saved_tokens() : 0};
  tell(input, status);
  if (problem) std::rethrow_exception(problem);
  if (nothing_done) throw std::runtime_error(text("all ", run_errors_, " requests failed; nothing was answered"));
  return end == BatchEnd::done ? exit_done : exit_again;
}

template <class Attempt>
void BatchRun::together(Attempt attempt) {
  windlass::together(place_.mpi, std::move(attempt));
}

void BatchRun::set_up() {
  auto const recorded = output_->recorded_arithmetic();
  from_rank_0(place_.mpi, recorded.value_or(""));
  auto shared = share_weights(plan_, options_.engine.model);
  together([&] { setup_ = load_engine(options_.engine, recorded, plan_.own_place(), shared ? &*shared : nullptr); });
  if (setup_->plan_log) record_layout(*setup_->plan_log, options_.layout, plan_.map);
  agree_on(place_.mpi, model_and_arithmetic(*setup_));
  weight_reads_ = gather_weight_reads(place_.mpi, setup_.get());
  std::unique_ptr<Collective> collective = std::make_unique<LocalCollective>();
  if (place_.mpi.uses_mpi()) collective = make_collective(plan_.own_ranks());
  KvSharing sharing(place_.mpi, plan_, plan_.computes() ? setup_.get() : nullptr, options_.transport);
  together([&] {
    start_engine(*setup_, options_.engine, sharing.place(plan_.own_place()), std::move(collective));
    if (checkpoint_) open_checkpoint();
    output_->begin(options_, *setup_);  // nothing is changed before everything else has been accepted
  });
  if (place_.mpi.place().world_ranks > 1) set_up_cluster(sharing);
}

void BatchRun::open_checkpoint() {
  if (place_.mpi.place().world_ranks == 1)
    checkpoint_->make_runner(options_, *setup_);
  else
    checkpoint_->make_checkpointer(options_, *setup_, plan_.carries_checkpoint());
}

void BatchRun::set_up_cluster(KvSharing& sharing) {
  EngineSetup const* const computes = plan_.computes() ? setup_.get() : nullptr;
  cluster_ = std::make_unique<Cluster>(place_.mpi, plan_, computes, sharing);
  DistributedConfig config{.spare_ranks = plan_.layout.spare_ranks,
                           .kill_rank = [this](int rank) { return place_.watch.kill(rank); }};
  std::erase(config.spare_ranks, 0);  // rank 0 is never a spare for itself
  config.failures.silence_us = Microseconds(options_.lost_after_seconds * 1e6);
  config.plan_log = setup_->plan_log.get();
  if (trace_) config.on_trace = [this](int rank, std::span<TraceSpan const> spans) { trace_->add(rank, spans); };
  if (checkpoint_) {
    cluster_->set_checkpointer(checkpoint_->checkpointer());
    config.checkpoints = &checkpoint_->make_coordinator(options_, *setup_, cluster_->courier());
  }
  remote_ = std::make_unique<DistributedRunner>(cluster_->courier(), plan_.layout.instances, config);
  place_.watch.on_end([this](ProcessEnd end) {
    if (end.world_rank == ProcessEnd::launcher) place_.launcher_ended();
    rank_ended_ = true;
    cluster_->courier().send(0, RankEnded{.rank = std::uint32_t(end.world_rank), .fate = RankFate::ended});
  });
  cluster_->start_worker();
}

void BatchRun::count_allocation() {
  BatchProgressMark const mark{.records = std::int64_t(output_->finished().size()),
                               .saved_tokens = checkpoint_ ? checkpoint_->loaded_tokens() : 0};
  allocations_ = std::make_unique<AllocationLog>(options_.output, mark);
}

void BatchRun::requeue_if_wanted(int exit_code) const {
  if (!options_.requeue || exit_code != exit_again || !allocations_) return;
  requeue_job(process_environment(), allocations_->without_progress(end_mark_),
              setup_ ? setup_->plan_log.get() : nullptr);
}

void BatchRun::announce() const {
  if (options_.quiet) return;
  Model const& model = setup_->model;
  log_info(text("version ", program_version(), " (", program_commit(), "): ", options_.engine.model.path, ", ",
                model.spec.architecture, ", loaded in ", int(model.load_seconds * 1000), " ms; ", setup_->arithmetic,
                ", ", setup_->threads, " threads, KV cache of ", bytes_text(std::uint64_t(setup_->kv_bytes)),
                setup_->engine ? text(" for ", setup_->kv_tokens(), " tokens") : ""));
  if (cluster_ && recovery_of(process_environment()) == Recovery::off)
    log_info(
        text("started without recovery: the death of a rank ends the job, and the same command goes on from there; ",
             mpi_flavor() == MpiFlavor::mpich
                 ? "MPICH has no other way"
                 : "windlass launch, or mpirun --enable-recovery (Open MPI 5: --with-ft ulfm), lets the others go on "
                   "at once"));
  if (cluster_)
    log_info(to_text(plan_.layout, plan_.map) +
             (cluster_->transport_name().empty() ? "" : "KV moves by " + cluster_->transport_name()));
  if (auto const left = walltime_.seconds_left())
    log_info(text("this allocation ends in ", int(*left), " s (", walltime_.source(), ")"));
  if (output_->finished().size() > 0)
    log_info(text("resuming: ", output_->finished().size(), " records are in ", options_.output));
}

BatchEnd BatchRun::answer(BatchInput& input, AnswerWriter& writer) {
  std::unique_ptr<RequestRunner> local;
  if (!remote_ && !checkpoint_) local = std::make_unique<EngineRunner>(*setup_->engine);
  RequestRunner& plain = remote_       ? static_cast<RequestRunner&>(*remote_)
                         : checkpoint_ ? *checkpoint_->runner()
                                       : *local;
  std::unique_ptr<RequestRunner> traced;
  if (trace_ && !remote_) traced = std::make_unique<TracedRunner>(plain, *trace_);
  RequestRunner& runner = traced ? *traced : plain;
  start_us_ = now_us();
  BatchJob job({.runner = runner,
                .input = input,
                .writer = writer,
                .drain_wanted = [&] { return place_.signals.wanted(); },
                .on_progress = [&] { console_.update([&] { return progress(input); }); },
                .limits = [&] { return walltime_.limits(); }},
               {.max_requests_running = options_.engine.max_num_seqs * int(plan_.layout.instances.size()),
                .drain_us = Microseconds(options_.drain_seconds * 1e6),
                .job_seed = options_.seed,
                .plan_log = setup_->plan_log.get()});
  std::exception_ptr problem;
  BatchEnd end = BatchEnd::again;
  try {
    end = job.run();
  } catch (EveryInstanceLost const& lost) {
    log_warning(text(lost.what(), "; finished answers are safe, the rest stays for the next run"));
  } catch (...) {
    problem = std::current_exception();
  }
  run_errors_ = job.run_errors();
  engine_counters_ = runner.counters();
  if (!problem) problem = end_cluster();
  if (problem) std::rethrow_exception(problem);
  return end;
}

/// The problem of a run that should have moved KV and moved none.
std::exception_ptr BatchRun::end_cluster() {
  if (!remote_) return nullptr;
  remote_->await_handoffs(now_us() + patience_with_handoffs_us);
  remote_->shut_down(DistributedRunner::End::done);
  if (trace_) remote_->await_traces(now_us() + patience_with_traces_us);
  if (has_losses()) cluster_->courier().flush(patience_of_farewell);
  BatchReport report;
  add_ranks(report);
  std::string const why = report.kv ? missing_kv(*report.kv, remote_->decoded_elsewhere()) : "";
  return why.empty() ? nullptr : std::make_exception_ptr(std::runtime_error(why));
}

/// What was answered is written even where the run failed; its first problem is the one that is told.
void BatchRun::close(AnswerWriter& writer, std::exception_ptr& problem) {
  try {
    writer.close();
  } catch (...) {
    if (!problem) problem = std::current_exception();
  }
  seconds_ = double(now_us() - start_us_) * 1e-6;
}

BatchProgress BatchRun::progress(BatchInput const& input) const {
  BatchCounts const counts = ledger_.counts();
  return {.seconds = double(now_us() - start_us_) * 1e-6,
          .records = counts.records(),
          .skipped = std::int64_t(input.skipped_lines()),
          .tokens = counts.prompt_tokens + counts.generated_tokens,
          .finished_bytes = counts.input_bytes,
          .skipped_bytes = input.skipped_bytes(),
          .total_bytes = input.total_bytes(),
          .instances = remote_ ? remote_->views() : std::vector<InstanceView>()};
}

void BatchRun::tell(BatchInput const& input, std::string const& status) {
  if (options_.quiet && options_.report_file.empty()) return;
  BatchReport report = make_report(input, status);
  report.allocations = allocations_->allocations();
  report.time_limit_s = walltime_.seconds_left();
  if (checkpoint_) report.checkpoint = checkpoint_->summary(engine_counters_);
  if (checkpoint_) checkpoint_->release_runner();
  if (status == "done" && !remote_) report.machine_share = machine_share(report);  // one process can measure alone
  if (!options_.quiet) std::fputs(report_table(report).c_str(), options_.output == "-" ? stderr : stdout);
  if (!options_.report_file.empty()) replace_file(options_.report_file, report_json(report));
}

/// The engine and the weights make room for the buffer: the process never holds more than it did.
std::optional<MachineShare> BatchRun::machine_share(BatchReport const& report) {
  setup_->engine.reset();
  setup_->model.weights = {};
  return measure_machine_share(report.engine, report.weight_bytes, *setup_->team);
}

BatchReport BatchRun::make_report(BatchInput const& input, std::string const& status) const {
  Model const& model = setup_->model;
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  BatchReport report{.status = status,
                     .counts = ledger_.counts(),
                     .skipped = std::int64_t(input.skipped_lines()),
                     .run_errors = run_errors_,
                     .seconds = seconds_,
                     .load_seconds = model.load_seconds,
                     .engine = engine_counters_,
                     .ttft = ledger_.ttft(),
                     .tpot = ledger_.tpot(),
                     .version = program_version(),
                     .commit = program_commit(),
                     .mpi_library = place_.mpi.library(),
                     .host = host,
                     .processor = setup_->cores.processor,
                     .cores = setup_->cores.machine_cores,
                     .threads = setup_->threads,
                     .model_path = options_.engine.model.path,
                     .model_identity = to_hex(model.identity),
                     .architecture = model.spec.architecture,
                     .model_bytes = model.file_bytes,
                     .weight_bytes = model.weights.size_bytes(),
                     .kv_bytes = std::uint64_t(setup_->kv_bytes),
                     .peak_resident_bytes = peak_resident_bytes(),
                     .arithmetic = output_->arithmetic(),
                     .configuration = options_.given,
                     .weight_reads = weight_reads_};
  report.configuration["threads"] = text(setup_->threads);
  report.configuration["backend"] = setup_->operations->name;
  report.configuration["max-model-len"] = text(model.max_model_len);
  report.configuration["kv-cache-memory"] = text(setup_->kv_bytes);
  add_ranks(report);
  return report;
}

void BatchRun::add_ranks(BatchReport& report) const {
  if (!remote_) return;
  MovedKv const& moved = remote_->moved();
  if (plan_.hands_over_kv())
    report.kv = {.shared = moved.shared,
                 .copied = moved.copied,
                 .copying = cluster_->copying_transport(),
                 .link_gb_per_s = cluster_->link_gb_per_s(),
                 .handoff_us = moved.microseconds,
                 .failed = moved.failed,
                 .without_kv = moved.without_kv};
  Losses const& losses = remote_->losses();
  report.instances = int(plan_.layout.instances.size());
  report.lost_ranks = losses.ranks;
  report.lost_instances = losses.instances;
  report.spares_taken = losses.spares_taken;
  report.restarted_requests = losses.restarted_requests;
  report.views = remote_->views();
}

std::string BatchRun::losses() const {
  BatchReport report;
  add_ranks(report);
  return losses_text(report);
}

}  // namespace windlass
