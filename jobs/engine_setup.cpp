#include "jobs/engine_setup.hpp"

#include <algorithm>

#include "jobs/plan_record.hpp"
#include "mpi/memory_limit.hpp"
#include "src/core/bytes_text.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/engine/arithmetic.hpp"
#include "src/engine/forward_pass.hpp"
#include "src/model/placed_load.hpp"

namespace windlass {
namespace {

constexpr double kv_share_of_free_memory = 0.7;
constexpr std::int64_t fallback_kv_bytes = std::int64_t{4} << 30;  ///< where free memory cannot be found out

int thread_count(int wanted, CoreSet const& cores, EnginePlace const& place) {
  int const possible = int(cores.cpus.size());
  if (wanted > possible)
    throw InputError(text("--threads ", wanted, ": this process may use ", possible,
                          " cores (more threads than cores "
                          "slow each other down); use at most that, or widen the binding (mpirun --bind-to none)"));
  if (wanted == 0 && place.cpus.empty() && possible < cores.machine_cores)
    log_info(
        text("bound to ", possible, " of ", cores.machine_cores, " cores; mpirun --bind-to none gives all of them"));
  return wanted == 0 ? cores.usable_threads() : wanted;
}

Operations const& choose_backend(std::string const& wanted, std::optional<std::string> const& recorded) {
  std::string const missing = missing_device();
  if (wanted == "auto" && !missing.empty()) log_info(text(missing, "; computing on the CPU"));
  if (wanted == "auto" && recorded) {
    std::string const before = recorded->substr(0, recorded->find('/'));
    for (Operations const* const candidate : available_operations())
      if (before == candidate->name || before == candidate->arithmetic) return *candidate;
  }
  return operations(wanted);
}

/// Bytes of the pages that `block_tokens` tokens need on this rank.
std::size_t block_bytes(EngineSetup const& setup, EngineOptions const& options) {
  Shard const& shard = setup.model.shard;
  return KvShape{.layers = shard.layers.size(),
                 .kv_heads = shard.kv_heads.size(),
                 .head_dim = setup.model.spec.head_dim,
                 .format = kv_format(options.model.precision, *setup.operations)}
      .page_bytes();
}

/// For a KV cache: of the device, or of the host (0: cannot be found out).
std::uint64_t free_memory_bytes(EngineSetup const& setup) {
  Memory const& memory = *setup.operations->memory;
  return memory.free_bytes != nullptr ? memory.free_bytes() : available_memory_bytes();
}

/// No more than the running sequences can fill, and no more than a share of what is free.
std::int64_t automatic_kv_bytes(EngineSetup const& setup, EngineOptions const& options, int host_ranks) {
  double const blocks = double(setup.model.max_model_len + block_tokens - 1) / block_tokens + 1;
  double const useful = double(block_bytes(setup, options)) * blocks * double(options.max_num_seqs);
  std::uint64_t const free_bytes = free_memory_bytes(setup);
  double const room =
      free_bytes == 0 ? double(fallback_kv_bytes) : double(free_bytes) * kv_share_of_free_memory / host_ranks;
  return std::int64_t(std::min(useful, room));
}

std::int64_t kv_bytes(EngineSetup const& setup, EngineOptions const& options, int host_ranks) {
  std::int64_t const wanted = options.kv_cache_bytes;
  auto const least = std::int64_t(block_bytes(setup, options));
  std::int64_t const bytes = wanted > 0 ? wanted : automatic_kv_bytes(setup, options, host_ranks);
  if (bytes < least)
    throw InputError(text(wanted > 0 ? "--kv-cache-memory " : "the memory left for the KV cache, ", bytes,
                          ": does not hold one page of ", block_tokens, " tokens, ", least,
                          " bytes; raise --kv-cache-memory, by as much for every ", block_tokens, " tokens at once"));
  std::uint64_t const free_bytes = free_memory_bytes(setup);
  if (wanted > 0 && free_bytes > 0 && std::uint64_t(wanted) > free_bytes)
    log_warning(text("--kv-cache-memory ", bytes_text(std::uint64_t(wanted)), " is more than the ",
                     bytes_text(free_bytes), " that are free: a full cache would end the program"));
  return bytes;
}

Model load_shared(ModelConfig const& config, SharedWeights& shared, ThreadTeam& team) {
  bool const packs = shared.part() == SharedWeights::Part::packs;
  WeightMemory const memory{
      .bytes = shared.bytes(), .owner = shared.owner(), .filling = packs ? Filling::here : Filling::elsewhere};
  try {
    Model model = load_model(config, memory, team);
    packs ? shared.tell(true) : shared.wait();
    return model;
  } catch (...) {
    if (packs) shared.tell(false);
    throw;
  }
}

}  // namespace

std::unique_ptr<EngineSetup> load_engine(EngineOptions const& options,
                                         std::optional<std::string> const& recorded_arithmetic,
                                         EnginePlace const& place, SharedWeights* shared) {
  auto setup = std::make_unique<EngineSetup>();
  setup->cores = find_cores();
  if (!place.cpus.empty()) setup->cores.cpus = place.cpus;
  setup->threads = thread_count(options.threads, setup->cores, place);
  setup->operations = &choose_backend(options.backend, recorded_arithmetic);
  setup->arithmetic = arithmetic_id(*setup->operations, options.model.precision);
  auto cpus = setup->cores.cpus;
  cpus.resize(std::size_t(setup->threads));
  setup->team = std::make_unique<ThreadTeam>(ThreadTeamConfig{.threads = setup->threads, .cpus = std::move(cpus)});
  if (place.tensor_parallel.degree > 1 && std::string(setup->operations->name) == "reference")
    throw InputError(
        "--backend reference computes on one rank (it rounds once per sum, so its sums cannot be put together); take "
        "another backend, or a layout without tp");
  ModelConfig config = options.model;
  config.tensor_parallel = place.tensor_parallel;
  config.pipeline = place.pipeline;
  bool const on_device = setup->operations->memory->space == MemorySpace::device;
  if (on_device && (place.tensor_parallel.degree > 1 || place.pipeline.stages > 1))
    throw InputError(text("--backend ", setup->operations->name,
                          " computes on one rank (sums and rows of several ranks travel through the host's memory); "
                          "take a layout without tp and pp, or a CPU backend"));
  WeightMemory const memory{.bytes = {},
                            .owner = nullptr,
                            .filling = place.computes ? Filling::here : Filling::nobody,
                            .space = setup->operations->memory};
  setup->model = shared != nullptr && !on_device ? load_shared(config, *shared, *setup->team)
                                                 : load_model(config, memory, *setup->team);
  bool const maps = shared != nullptr && !on_device && shared->part() == SharedWeights::Part::maps;
  if (place.computes && !maps) setup->read_weight_bytes = setup->model.weights.size_bytes();
  setup->kv_bytes = kv_bytes(*setup, options, place.host_ranks);
  if (!options.record_file.empty())
    setup->plan_log = std::make_unique<PlanFile>(options.record_file + place.record_suffix);
  return setup;
}

void start_engine(EngineSetup& setup, EngineOptions const& options, EnginePlace const& place,
                  std::unique_ptr<Collective> collective) {
  EngineConfig const config{.precision = options.model.precision,
                            .max_sequences = options.max_num_seqs,
                            .chunk_tokens = options.max_num_batched_tokens,
                            .kv_bytes = setup.kv_bytes,
                            .prefix_reuse = options.prefix_reuse,
                            .after_prompt = place.after_prompt,
                            .plan_log = setup.plan_log.get(),
                            .pool_memory = place.pool_memory};
  setup.collective = std::move(collective);
  if (setup.collective->instance_rank() > 0) {
    setup.follower = std::make_unique<Follower>(setup.model, config, *setup.operations, *setup.collective, *setup.team);
    return;
  }
  setup.engine = std::make_unique<Engine>(setup.model, config, *setup.operations, *setup.collective, *setup.team);
  if (setup.kv_tokens() < setup.model.max_model_len)
    log_warning(text("the KV cache holds ", setup.kv_tokens(), " tokens, fewer than the context of ",
                     setup.model.max_model_len,
                     ": longer requests are refused; raise --kv-cache-memory or lower --max-model-len"));
}

std::unique_ptr<EngineSetup> set_up_engine(EngineOptions const& options,
                                           std::optional<std::string> const& recorded_arithmetic) {
  auto setup = load_engine(options, recorded_arithmetic, {}, nullptr);
  start_engine(*setup, options, {}, std::make_unique<LocalCollective>());
  return setup;
}

}  // namespace windlass
