// Speed of one engine, one JSON line per result, each with its share of what this machine could do at best.
//   engine_bench --model MODEL [--work prefill,decode,batch,shared,trace,start] [--threads N] [--repetitions 3]
//                [--long-repetitions 3] [--precision fast|f32] [--backend auto] [--trace FILE]
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>
#include <sstream>

#include "bench/arguments.hpp"
#include "bench/roofline.hpp"
#include "bench/workloads.hpp"
#include "src/engine/engine.hpp"
#include "src/model/placed_load.hpp"

namespace windlass::bench {
namespace {

constexpr int prefill_tokens[] = {512, 2048, 7000};
constexpr int decode_contexts[] = {512, 7000}, decode_new_tokens = 128;
constexpr int batch_sizes[] = {8, 32}, batch_context = 256, batch_new_tokens = 64;
constexpr int server_sequences = 32;  ///< most that run at once in `shared` and `trace`
constexpr int long_tokens = 4096;     ///< from here on a case counts as long (--long-repetitions)
constexpr int start_tokens = 16;

struct Timing {
  double seconds = 0;         ///< from the first submission to the last answer
  double decode_seconds = 0;  ///< of a single request: from its first token to its last
  std::int64_t generated_tokens = 0, cached_tokens = 0;
};

/// Everything a case needs; engines are made afresh for each, so that none profits from another's KV.
class Bench {
 public:
  Bench(Arguments const& arguments, ThreadTeam& team)
      : arguments_(arguments),
        team_(team),
        arithmetic_{.operations = operations(arguments.get("backend")),
                    .precision = arguments.get("precision") == "f32" ? Precision::f32 : Precision::fast},
        model_(load_model({.path = arguments.get("model"), .precision = arithmetic_.precision},
                          WeightMemory{.space = arithmetic_.operations.memory}, team)),
        cost_(model_, arithmetic_.kv_format()) {}

  void run_work(std::string const& work) {
    if (work == "start") return start();
    if (!limits_) limits_ = measure_limits(model_, cost_, arithmetic_, team_);
    if (work == "prefill") return prefill();
    if (work == "decode") return decode();
    if (work == "batch") return batch();
    if (work == "shared") return shared();
    if (work == "trace") return trace();
    throw InputError(text("--work ", work, ": use prefill, decode, batch, shared, trace or start"));
  }

 private:
  int repetitions(int tokens = 0) const {
    return int(arguments_.integer(tokens >= long_tokens ? "long-repetitions" : "repetitions"));
  }
  int vocab() const { return model_.spec.vocab; }

  /// Answers `requests`, all given at once. Throws InputError with the engine's words if one of them fails.
  Timing answer(std::vector<Request> const& requests, PrefixReuse reuse) {
    Engine engine(model_, engine_config(requests, reuse), arithmetic_.operations, collective_, team_);
    Timing timing;
    Microseconds const begin_us = now_us();
    for (Request const& request : requests) engine.submit(request);
    while (!engine.idle()) {
      engine.step();
      for (Answer const& done : engine.take_answers()) {
        if (!done.error.empty()) throw InputError(text("a request of the benchmark failed: ", done.error));
        timing.decode_seconds = double(done.finished_us - done.first_token_us) * 1e-6;
        timing.generated_tokens += std::int64_t(done.choices.front().tokens.size());
        timing.cached_tokens += done.cached_tokens;
      }
    }
    timing.seconds = double(now_us() - begin_us) * 1e-6;
    return timing;
  }

  /// A pool that holds the largest requests that can run at once, so that none is preempted.
  EngineConfig engine_config(std::vector<Request> const& requests, PrefixReuse reuse) const {
    std::vector<std::int64_t> blocks;
    for (Request const& request : requests)
      blocks.push_back((std::int64_t(request.prompt.size()) + request.sampling.max_tokens) / block_tokens + 2);
    std::sort(blocks.rbegin(), blocks.rend());
    blocks.resize(std::min<std::size_t>(blocks.size(), server_sequences));
    std::int64_t all = 0;
    for (std::int64_t count : blocks) all += count;
    return {.precision = arithmetic_.precision,
            .max_sequences = server_sequences,
            .kv_bytes = std::int64_t(cost_.kv_bytes_per_token) * block_tokens * all,
            .prefix_reuse = reuse};
  }

  void prefill() {
    for (int tokens : prefill_tokens) {
      std::vector<double> rates;
      for (int i = -1; i < repetitions(tokens); ++i) {  // the first one warms up
        if (i < 0 && tokens >= long_tokens) continue;
        auto const requests = alike_requests({.context = tokens, .seed = std::uint64_t(100 + i)}, vocab());
        double const rate = tokens / answer(requests, PrefixReuse::off).seconds;
        if (i >= 0) rates.push_back(rate);
      }
      double const least_s = least_prefill_seconds(cost_, *limits_, tokens);
      print("W1", text("prefill ", tokens), {.unit = "tokens/s", .values = rates, .limit = tokens / least_s});
    }
  }

  void decode() {
    for (int context : decode_contexts) {
      std::vector<double> rates;
      for (int i = 0; i < repetitions(context); ++i) {
        auto const requests = alike_requests(
            {.context = context, .new_tokens = 1 + decode_new_tokens, .seed = std::uint64_t(7000 + i)}, vocab());
        rates.push_back(decode_new_tokens / answer(requests, PrefixReuse::off).decode_seconds);
      }
      double const middle = context + decode_new_tokens / 2.0;
      double const limit = 1 / least_step_seconds(cost_, *limits_, {.sequences = 1, .context = middle});
      print("W2", text("decode at ", context), {.unit = "tokens/s", .values = rates, .limit = limit});
    }
  }

  /// The time of 1 + n new tokens for every sequence, less the time of 1.
  void batch() {
    answer(alike_requests({.count = batch_sizes[0], .context = batch_context}, vocab()), PrefixReuse::off);  // warms up
    for (int sequences : batch_sizes) {
      std::vector<double> rates;
      for (int i = 0; i < repetitions(); ++i) {
        AlikeRequests wanted{.count = sequences, .context = batch_context, .seed = std::uint64_t(70 + i)};
        double const first_s = answer(alike_requests(wanted, vocab()), PrefixReuse::off).seconds;
        wanted.new_tokens = 1 + batch_new_tokens;
        double const all_s = answer(alike_requests(wanted, vocab()), PrefixReuse::off).seconds;
        rates.push_back(sequences * batch_new_tokens / (all_s - first_s));
      }
      DecodeStep const step{.sequences = double(sequences), .context = batch_context + batch_new_tokens / 2.0};
      double const limit = sequences / least_step_seconds(cost_, *limits_, step);
      print("W3", text("decode ", sequences, " sequences"), {.unit = "tokens/s", .values = rates, .limit = limit});
    }
  }

  void shared() {
    for (PrefixReuse reuse : {PrefixReuse::on, PrefixReuse::off}) {
      std::vector<double> seconds;
      for (int i = 0; i < repetitions(reuse == PrefixReuse::off ? long_tokens : 0); ++i)
        seconds.push_back(answer(shared_prefix_requests(std::uint64_t(i), vocab()), reuse).seconds);
      print("W4", reuse == PrefixReuse::on ? "sharing on" : "sharing off", {.unit = "s", .values = seconds});
    }
  }

  void trace() {
    auto const requests = trace_requests(arguments_.get("trace"), vocab());
    std::vector<double> seconds, rates;
    for (int i = 0; i < repetitions(long_tokens); ++i) {
      Timing const timing = answer(requests, PrefixReuse::off);
      seconds.push_back(timing.seconds);
      rates.push_back(double(timing.generated_tokens) / timing.seconds);
    }
    double const least_s = least_trace_seconds(requests);
    print("W5", "64 requests of the trace", {.unit = "s", .values = seconds, .limit = least_s});
    print("W5", "64 requests of the trace, output", {.unit = "tokens/s", .values = rates});
  }

  /// Arithmetic of all prompts, and every sequence's part of decode steps that are always full.
  double least_trace_seconds(std::vector<Request> const& requests) const {
    double seconds = 0;
    for (Request const& request : requests) {
      double const prompt = double(request.prompt.size()), made = request.sampling.max_tokens - 1;
      DecodeStep const step{.sequences = server_sequences, .context = prompt + made / 2};
      seconds += least_prefill_seconds(cost_, *limits_, prompt) +
                 made * least_step_seconds(cost_, *limits_, step) / server_sequences;
    }
    return seconds;
  }

  /// One token after a short prompt. Who measures the start takes the time from making the process to this line.
  void start() {
    answer(alike_requests({.context = start_tokens, .seed = 1}, vocab()), PrefixReuse::off);
    print("W6", "load", {.unit = "s", .values = {model_.load_seconds}});
  }

  struct Result {
    char const* unit;
    std::vector<double> values;
    double limit = 0;  ///< in `unit`; 0: none is known
  };

  void print(char const* workload, std::string const& name, Result result) {
    auto& values = result.values;
    std::sort(values.begin(), values.end());
    double const middle = (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
    std::cout << text("{\"peer\":\"windlass\",\"workload\":\"", workload, "\",\"case\":\"", name, "\",\"unit\":\"",
                      result.unit, "\",\"min\":", values.front(), ",\"median\":", middle, ",\"max\":", values.back(),
                      ",\"reps\":", values.size(), ",\"threads\":", team_.size(), ",\"backend\":\"",
                      arithmetic_.operations.name, "\",\"peak_mib\":", peak_mib(),
                      ",\"weight_mib\":", cost_.step_weight_bytes / 0x1p20, ",\"load\":", load_average(),
                      limit_fields(result, middle), "}")
              << std::endl;
  }

  /// The machine's limits and the share of them that `middle` is; nothing where no limit is known.
  std::string limit_fields(Result const& result, double middle) const {
    if (result.limit <= 0) return "";
    bool const is_time = std::string(result.unit) == "s";
    return text(",\"limit\":", result.limit,
                ",\"share_of_limit\":", is_time ? result.limit / middle : middle / result.limit,
                ",\"read_gb_per_s\":", limits_->read_gb_per_s, ",\"product_type\":\"", limits_->product_type,
                "\",\"product_gop_per_s\":", limits_->product_gop_per_s,
                ",\"attention_gop_per_s\":", limits_->attention_gop_per_s);
  }

  static double peak_mib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return double(usage.ru_maxrss) / 1024;
  }
  static double load_average() {
    double average = 0;
    return getloadavg(&average, 1) == 1 ? average : 0;
  }

  Arguments const& arguments_;
  ThreadTeam& team_;
  Arithmetic arithmetic_;
  LocalCollective collective_;
  Model model_;
  ModelCost cost_;
  std::optional<Limits> limits_;
};

void run(int argc, char** argv) {
  CoreSet const cores = find_cores();
  Arguments const arguments(argc, argv,
                            {{"model", ""},
                             {"work", "prefill,decode,batch,shared,trace"},
                             {"threads", text(cores.usable_threads())},
                             {"repetitions", "3"},
                             {"long-repetitions", "3"},
                             {"precision", "fast"},
                             {"backend", "auto"},
                             {"trace", "inputs/traces/azure_2023_conv_64.csv"}});
  ThreadTeam team(bench_team(cores, arguments.integer("threads")));
  Bench bench(arguments, team);
  std::istringstream works(arguments.get("work"));
  for (std::string work; std::getline(works, work, ',');) bench.run_work(work);
}

}  // namespace
}  // namespace windlass::bench

int main(int argc, char** argv) {
  try {
    windlass::bench::run(argc, argv);
    return 0;
  } catch (std::exception const& error) {
    std::fprintf(stderr, "engine_bench: %s\n", error.what());
    return 2;
  }
}
