#include "jobs/engine_setup.hpp"

#include <algorithm>

#include "mpi/memory_limit.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/engine/arithmetic.hpp"
#include "src/engine/forward_pass.hpp"

namespace windlass {
namespace {

constexpr double kv_share_of_free_memory = 0.7;
constexpr std::int64_t fallback_kv_bytes = std::int64_t{4} << 30;  ///< where free memory cannot be found out

int thread_count(int wanted, CoreSet const& cores) {
  int const possible = int(cores.cpus.size());
  if (wanted > possible)
    throw InputError(text("--threads ", wanted, ": this process may use ", possible,
                          " cores (more threads than cores "
                          "slow each other down); use at most that, or widen the binding (mpirun --bind-to none)"));
  if (wanted == 0 && possible < cores.machine_cores)
    log_info(
        text("bound to ", possible, " of ", cores.machine_cores, " cores; mpirun --bind-to none gives all of them"));
  return wanted == 0 ? cores.usable_threads() : wanted;
}

Operations const& choose_backend(std::string const& wanted, std::optional<std::string> const& recorded) {
  if (wanted == "auto" && recorded) {
    std::string const before = recorded->substr(0, recorded->find('/'));
    for (Operations const* const candidate : available_operations())
      if (before == candidate->name) return *candidate;
  }
  return operations(wanted);
}

/// No more than the running sequences can fill, and no more than a share of what is free.
std::int64_t automatic_kv_bytes(EngineSetup const& setup, EngineOptions const& options) {
  ModelSpec const& spec = setup.model.spec;
  KvShape const shape{.layers = int(spec.layers.size()),
                      .kv_heads = spec.kv_heads,
                      .head_dim = spec.head_dim,
                      .format = kv_format(options.model.precision, *setup.operations)};
  double const blocks = double(setup.model.max_model_len + block_tokens - 1) / block_tokens + 1;
  double const useful = double(shape.page_bytes()) * blocks * double(options.max_num_seqs);
  std::uint64_t const free_bytes = available_memory_bytes();
  double const room = free_bytes == 0 ? double(fallback_kv_bytes) : double(free_bytes) * kv_share_of_free_memory;
  return std::int64_t(std::min(useful, room));
}

}  // namespace

std::unique_ptr<EngineSetup> set_up_engine(EngineOptions const& options,
                                           std::optional<std::string> const& recorded_arithmetic) {
  auto setup = std::make_unique<EngineSetup>();
  setup->cores = find_cores();
  setup->threads = thread_count(options.threads, setup->cores);
  setup->operations = &choose_backend(options.backend, recorded_arithmetic);
  setup->arithmetic = arithmetic_id(*setup->operations, options.model.precision);
  auto cpus = setup->cores.cpus;
  cpus.resize(std::size_t(setup->threads));
  setup->team = std::make_unique<ThreadTeam>(ThreadTeamConfig{.threads = setup->threads, .cpus = std::move(cpus)});
  setup->model = load_model(options.model, *setup->team);
  setup->kv_bytes = options.kv_cache_bytes > 0 ? options.kv_cache_bytes : automatic_kv_bytes(*setup, options);
  EngineConfig const config{.precision = options.model.precision,
                            .max_sequences = options.max_num_seqs,
                            .chunk_tokens = options.max_num_batched_tokens,
                            .kv_bytes = setup->kv_bytes,
                            .prefix_reuse = options.prefix_reuse};
  setup->engine = std::make_unique<Engine>(setup->model, config, *setup->operations, setup->collective, *setup->team);
  return setup;
}

}  // namespace windlass
