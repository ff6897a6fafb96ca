#include "jobs/batch_checkpoint.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

/// Of what every token id stands for.
std::string tokenizer_identity(Tokenizer const* tokenizer) {
  if (tokenizer == nullptr) return "none";
  std::string all;
  for (int id = 0; id < tokenizer->vocab(); ++id) {
    all += tokenizer->bytes(TokenId(std::uint32_t(id)));
    all += tokenizer->is_special(TokenId(std::uint32_t(id))) ? '\1' : '\0';
  }
  return to_hex(hash_text(all));
}

}  // namespace

CheckpointIdentity checkpoint_identity(EngineSetup const& setup) {
  KvFormat const format = setup.engine->groups().front().pool->shape().format;
  return {.model = to_hex(setup.model.identity),
          .tokenizer = tokenizer_identity(setup.model.tokenizer.get()),
          .arithmetic = setup.arithmetic,
          .kv_format = format == KvFormat::f32 ? "f32" : "bf16",
          .groups = checkpoint_groups(*setup.engine, setup.model.spec)};
}

BatchCheckpoint::BatchCheckpoint(BatchOptions const& options, int world_rank)
    : world_rank_(world_rank),
      folder_({.path = options.checkpoint.folder,
               .role = world_rank == 0 ? FolderRole::owner : FolderRole::member,
               .rank = world_rank,
               .keep = options.checkpoint.keep,
               .max_bytes = options.checkpoint.max_bytes}) {}

std::optional<LoadedCheckpoint> BatchCheckpoint::load(BatchOptions const& options, CheckpointIdentity const& identity) {
  auto loaded = folder_.load(identity, options.arithmetic);
  if (!loaded) return std::nullopt;
  std::size_t requests = 0, blocks = 0;
  for (SavedPart const& part : loaded->parts) {
    requests += part.requests.size();
    loaded_tokens_ += tokens_of(part.requests);
    blocks += part.blocks.size();
  }
  summary_.loaded_number = loaded->master.number;
  summary_.lost_parts = std::int64_t(loaded->lost_parts);
  if (!loaded->master.planned_end)
    summary_.seconds_after_checkpoint =
        double(std::max<std::int64_t>(0, folder_.last_sign_of_life_unix_s() - loaded->master.written_unix_s));
  if (!options.quiet && world_rank_ == 0)
    log_info(text(options.checkpoint.folder, ": checkpoint ", loaded->master.number, " has ", requests,
                  " requests in progress and ", blocks, " blocks of prompts"));
  return loaded;
}

void BatchCheckpoint::make_runner(BatchOptions const& options, EngineSetup& setup) {
  CheckpointIdentity const identity = checkpoint_identity(setup);
  auto loaded = load(options, identity);
  runner_ = std::make_unique<CheckpointRunner>(
      *setup.engine, folder_, identity,
      CheckpointRunnerConfig{.interval_us = options.checkpoint.interval_us,
                             .background_bytes_per_s = options.checkpoint.background_bytes_per_s,
                             .cpus = setup.cores.cpus,
                             .configuration = options.given,
                             .plan_log = setup.plan_log.get()});
  if (loaded) runner_->take(std::move(*loaded));
}

void BatchCheckpoint::make_checkpointer(BatchOptions const& options, EngineSetup& setup, bool carries) {
  CheckpointIdentity const identity = checkpoint_identity(setup);
  auto loaded = load(options, identity);
  if (setup.collective->degree() > 1)
    staging_ = std::make_unique<KvStaging>(*setup.engine, setup.model, *setup.collective);
  checkpointer_ = std::make_unique<Checkpointer>(
      *setup.engine, folder_, identity,
      CheckpointerConfig{.background_bytes_per_s = options.checkpoint.background_bytes_per_s,
                         .cpus = setup.cores.cpus,
                         .carries = carries,
                         .staging = staging_.get(),
                         .plan_log = setup.plan_log.get()});
  if (loaded) checkpointer_->take(std::move(*loaded));
}

CheckpointCoordinator& BatchCheckpoint::make_coordinator(BatchOptions const& options, EngineSetup const& setup,
                                                         Courier& courier) {
  coordinator_ = std::make_unique<CheckpointCoordinator>(
      courier, folder_, checkpoint_identity(setup),
      CheckpointCoordinatorConfig{.interval_us = options.checkpoint.interval_us, .configuration = options.given});
  return *coordinator_;
}

CheckpointCounts BatchCheckpoint::counts() const {
  if (runner_) return runner_->counts();
  return coordinator_ ? coordinator_->counts() : summary_.counts;
}

std::int64_t BatchCheckpoint::saved_tokens() const {
  CheckpointCounts const now = counts();
  return now.written > 0 ? now.saved_tokens : loaded_tokens_;
}

void BatchCheckpoint::release_runner() {
  summary_.counts = counts();
  runner_.reset();
}

CheckpointSummary BatchCheckpoint::summary(EngineCounters const& engine) const {
  CheckpointSummary summary = summary_;
  summary.counts = counts();
  double const computed = double(engine.prompt_tokens + engine.generated_tokens);
  double const seconds_per_token = computed > 0 ? double(engine.busy_us) * 1e-6 / computed : 0;
  summary.seconds_spent_twice =
      summary.seconds_after_checkpoint + double(summary.counts.recomputed_tokens) * seconds_per_token;
  return summary;
}

}  // namespace windlass
