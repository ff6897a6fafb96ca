#include "jobs/step_profiler.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/peak_rates.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/sim/outcome.hpp"
#include "src/sim/random.hpp"

namespace windlass {
namespace {

constexpr int shortest_context = 64;
constexpr int later_chunks = 3;  ///< of the prompts that show what earlier tokens cost

class Profiler {
 public:
  Profiler(EngineSetup& setup, EngineOptions const& options, ProfilePlan const& plan)
      : setup_(setup),
        config_{.precision = options.model.precision,
                .max_sequences = options.max_num_seqs,
                .chunk_tokens = options.max_num_batched_tokens,
                .kv_bytes = setup.kv_bytes,
                .prefix_reuse = PrefixReuse::off},
        plan_(plan) {}

  MeasuredProfile run(std::function<void(std::string const&)> const& told) {
    told("prompts");
    warm_up();
    for (int tokens = 16; tokens < config_.chunk_tokens; tokens *= 2) measure_prompt(tokens);
    measure_long_prompt();
    for (int count = 1; count < config_.max_sequences; count *= 2) measure_count(count, told);
    measure_count(config_.max_sequences, told);
    return std::move(profile_);
  }

 private:
  /// Steps of so many sequences, alone and beside a prompt (which then is one of them).
  void measure_count(int count, std::function<void(std::string const&)> const& told) {
    bool const sparse = count != 1 && count != 4 && count != std::min(16, config_.max_sequences);
    for (int context = shortest_context; context <= plan_.max_context_tokens; context *= 4) {
      if (std::int64_t(count) * context > plan_.held_tokens || (sparse && context > shortest_context)) break;
      told(text(count, " sequences of ", context, " tokens"));
      measure_decode(count, context);
    }
    int const beside = std::min(count, config_.max_sequences - 1);
    if (beside == 0)
      profile_.beside.push_back({.count = 1, .tokens = 1, .ms = profile_.decode.back().ms});  // never used
    if (beside == 0 || (!profile_.beside.empty() && profile_.beside.back().count >= beside)) return;
    told(text("a prompt beside ", beside, " sequences"));
    measure_beside(beside);
  }

  /// An engine with nothing in it.
  std::unique_ptr<Engine> engine() {
    return std::make_unique<Engine>(setup_.model, config_, *setup_.operations, *setup_.collective, *setup_.team);
  }

  Request request(int prompt_tokens, int new_tokens) {
    Request made{.id = RequestId(++next_id_), .prompt = {}, .sampling = {.temperature = 0}};
    for (int i = 0; i < prompt_tokens; ++i)
      made.prompt.push_back(TokenId(std::uint32_t(random_.below(std::uint64_t(setup_.model.spec.vocab)))));
    made.sampling.max_tokens = new_tokens;
    made.sampling.ignore_eos = true;
    return made;
  }

  double step_ms(Engine& engine) const {
    Microseconds const begin = now_us();
    engine.step();
    double const ms = double(now_us() - begin) / 1000;
    for (Answer const& answer : engine.take_answers())
      if (!answer.error.empty()) throw InputError("a request of the measurement failed: " + answer.error);
    return ms;
  }

  void warm_up() {
    auto const warm = engine();
    warm->submit(request(config_.chunk_tokens, 4));
    while (!warm->idle()) step_ms(*warm);
  }

  void measure_prompt(int tokens) {
    std::vector<double> times;
    for (int i = 0; i < plan_.repetitions; ++i) {
      auto const fresh = engine();
      fresh->submit(request(tokens, 1));
      times.push_back(step_ms(*fresh));
    }
    profile_.prefill.push_back({.count = 1, .tokens = double(tokens), .ms = percentile(times, 0.5)});
  }

  /// Whole chunks: the first, and what the tokens before the later ones add.
  void measure_long_prompt() {
    int const chunk = config_.chunk_tokens, room = std::max(chunk, plan_.max_context_tokens);
    std::vector<double> first, per_pair;
    for (int i = 0; i < plan_.repetitions; ++i) {
      auto const fresh = engine();
      fresh->submit(request(room / chunk * chunk, 1));
      first.push_back(step_ms(*fresh));
      for (int done = chunk; !fresh->idle(); done += chunk)
        per_pair.push_back((step_ms(*fresh) - first.back()) / (double(chunk) * done));
    }
    profile_.prefill.push_back({.count = 1, .tokens = double(chunk), .ms = percentile(first, 0.5)});
    profile_.ms_per_pair = std::max(0.0, percentile(per_pair, 0.5));
  }

  /// Steps until `count` sequences decode and nobody has prompt left.
  static bool all_decode(EngineCounters const& before, EngineCounters const& after, int count) {
    return after.prompt_tokens == before.prompt_tokens && after.generated_tokens - before.generated_tokens == count;
  }

  void measure_decode(int count, int context) {
    auto const fresh = engine();
    int const prefill_steps = count * context / config_.chunk_tokens + count;
    for (int i = 0; i < count; ++i) fresh->submit(request(context, prefill_steps + plan_.repetitions + 2));
    std::vector<double> times;
    while (!fresh->idle() && int(times.size()) < plan_.repetitions) {
      auto const before = fresh->counters();
      double const ms = step_ms(*fresh);
      if (all_decode(before, fresh->counters(), count)) times.push_back(ms);
    }
    if (times.empty()) return;  // the pool is too small for so many
    profile_.decode.push_back({.count = double(count), .tokens = double(context), .ms = percentile(times, 0.5)});
  }

  /// What `count` sequences with short contexts add to the chunks of a long prompt.
  void measure_beside(int count) {
    auto const fresh = engine();
    for (int i = 0; i < count; ++i) fresh->submit(request(shortest_context, 4 * count + 4 * later_chunks + 8));
    bool decoding = false;
    while (!fresh->idle() && !decoding) {
      auto const before = fresh->counters();
      step_ms(*fresh);
      decoding = all_decode(before, fresh->counters(), count);
    }
    if (!decoding) return;
    int const chunk = config_.chunk_tokens;
    fresh->submit(request(chunk * later_chunks, 1));
    std::vector<double> added;
    for (int done = 0; done < chunk * later_chunks && !fresh->idle(); done += chunk) {
      double const prompt_ms = profile_.prefill.back().ms + profile_.ms_per_pair * chunk * done;
      added.push_back(step_ms(*fresh) - prompt_ms);
    }
    profile_.beside.push_back({.count = double(count), .tokens = 1, .ms = std::max(0.001, percentile(added, 0.5))});
  }

  EngineSetup& setup_;
  EngineConfig config_;
  ProfilePlan plan_;
  MeasuredProfile profile_;
  RandomStream random_{1, 1};
  std::uint64_t next_id_ = 0;
};

}  // namespace

MeasuredProfile profile_steps(EngineSetup& setup, EngineOptions const& options, ProfilePlan const& plan,
                              std::function<void(std::string const&)> const& told) {
  std::int64_t const kv_tokens = setup.kv_tokens();
  setup.engine.reset();  // its pool makes room for the measurements'
  auto profile = Profiler(setup, options, plan).run(told);
  profile.model = options.model.path;
  profile.machine = text(setup.threads, " threads, ", setup.arithmetic);
  profile.chunk_tokens = options.max_num_batched_tokens;
  profile.max_sequences = options.max_num_seqs;
  profile.kv_tokens = kv_tokens;
  constexpr std::size_t buffer_bytes = std::size_t{256} << 20;
  profile.read_gb_per_s = measure_read(LimitBuffer(buffer_bytes, *setup.team), *setup.team).median;
  profile.gflops = best_rate(measure_arithmetic(*setup.team), "fp32");
  return profile;
}

}  // namespace windlass
