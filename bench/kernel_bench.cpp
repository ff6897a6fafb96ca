// Speed of the operations that take the time of a forward pass, on a model's own matrices and shapes; one JSON line
// each.
//   kernel_bench --model MODEL [--threads N] [--backend auto] [--precision fast|f32] [--tokens 1,8,32,512]
//                [--contexts 512,7000] [--repetitions 10]
// A product is timed over all layers in turn, so that decode shapes read their weights from memory as a step does.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <vector>

#include "bench/arguments.hpp"
#include "bench/roofline.hpp"
#include "src/core/clock.hpp"
#include "src/engine/aligned_array.hpp"
#include "src/model/canonical_slices.hpp"
#include "src/model/placed_load.hpp"

namespace windlass::bench {
namespace {

constexpr int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

std::vector<int> integers(std::string const& list) {
  std::vector<int> values;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) values.push_back(std::stoi(word));
  return values;
}

/// One operation's work and how long a repetition of it took.
struct Measured {
  std::string operation, shape;
  double operations = 0, bytes = 0;  ///< of one call
  double peak_gop_per_s = 0;         ///< of the type it computes in
  std::vector<double> seconds;       ///< of one call, per repetition
};

/// Matrices with one role, one of each layer.
struct Role {
  std::string name;
  std::vector<PackedMatrix const*> matrices;
  Slices slices;
};

class Bench {
 public:
  Bench(Arguments const& arguments, ThreadTeam& team)
      : arguments_(arguments),
        team_(team),
        arithmetic_{.operations = operations(arguments.get("backend")),
                    .precision = arguments.get("precision") == "f32" ? Precision::f32 : Precision::fast},
        model_(load_model({.path = arguments.get("model"), .precision = arithmetic_.precision},
                          WeightMemory{.space = arithmetic_.operations.memory}, team)),
        cost_(model_, arithmetic_.kv_format()),
        limits_(measure_limits(model_, cost_, arithmetic_, team)) {}

  void run() {
    for (int tokens : integers(arguments_.get("tokens")))
      for (Role const& role : roles()) product(role, tokens);
    for (int context : integers(arguments_.get("contexts"))) {
      attention(context, 1);
      attention(context, std::min(context, 512));
    }
  }

 private:
  std::vector<Role> roles() const {
    Slices const whole = Slices::whole(model_.weights.layers.front().qkv.groups());
    Role qkv{"qkv", {}, whole}, output{"output", {}, attention_output_slices(model_.spec)};
    Role gate_up{"gate_up", {}, whole}, down{"down", {}, {}}, head{"head", {&model_.weights.head}, whole};
    for (LayerWeights const& layer : model_.weights.layers) {
      qkv.matrices.push_back(&layer.qkv);
      output.matrices.push_back(&layer.output);
      if (!layer.experts.empty()) continue;
      gate_up.matrices.push_back(&layer.dense.gate_up);
      down.matrices.push_back(&layer.dense.down);
      down.slices = feed_forward_slices(layer.dense.down.columns);
    }
    std::vector<Role> all = {qkv, output, gate_up, down, head};
    std::erase_if(all, [](Role const& role) { return role.matrices.empty(); });
    return all;
  }

  /// Encodes activations as the role's products read them, then times the products.
  void product(Role const& role, int tokens) {
    PackedMatrix const& first = *role.matrices.front();
    int const stride = round_up(first.columns, group_size), y_stride = first.panels() * panel_rows;
    auto const rows = std::size_t(round_to_tile(tokens));
    Memory const& memory = *arithmetic_.operations.memory;
    AlignedArray<float> x(rows * std::size_t(stride), memory), y(rows * std::size_t(y_stride), memory),
        codes(x.size(), memory);
    AlignedArray<float> scales(x.size() / group_size, memory), scaled_sums(scales.size(), memory);
    AlignedArray<std::int32_t> sums(scales.size(), memory);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(int(i * 2654435761u % 2001) - 1000) / 1000;
    Activations const activations{
        .format = activation_format(first.format, arithmetic_.precision, arithmetic_.operations.bf16_products),
        .values = codes.data(),
        .scales = scales.data(),
        .scaled_sums = scaled_sums.data(),
        .sums = sums.data(),
        .stride = stride};
    arithmetic_.operations.encode_activations(
        {.out = activations, .x = x.data(), .x_stride = stride, .tokens = tokens, .columns = first.columns}, queue_);
    MatMul op{.y = y.data(), .y_stride = y_stride, .x = activations, .slices = role.slices, .tokens = tokens};
    auto const seconds = time([&] {
      for (PackedMatrix const* matrix : role.matrices) {
        op.weight = matrix;
        arithmetic_.operations.matmul(op, queue_);
      }
    });
    report({.operation = "matmul " + role.name,
            .shape = text(tokens, "x", first.columns, "x", first.rows, " ", name(first.format)),
            .operations = 2.0 * tokens * first.columns * first.rows,
            .bytes = double(first.size_bytes()),
            .peak_gop_per_s = limits_.product_gop_per_s,
            .seconds = seconds},
           double(role.matrices.size()));
  }

  /// `rows` new tokens at the end of a context, every layer's own KV in turn.
  void attention(int context, int rows) {
    ModelSpec const& spec = model_.spec;
    int const layers = int(spec.layers.size()), blocks = (context + block_tokens - 1) / block_tokens;
    KvShape const shape{
        .layers = layers, .kv_heads = spec.kv_heads, .head_dim = spec.head_dim, .format = arithmetic_.kv_format()};
    Memory const& memory = *arithmetic_.operations.memory;
    AlignedArray<std::byte> pool(shape.page_bytes() * std::size_t(blocks), memory, MemoryUse::pages);
    std::vector<std::uint32_t> pages;
    for (int block = 0; block < blocks; ++block) pages.push_back(std::uint32_t(block));
    std::fill_n(pool.data(), pool.size(), std::byte{0});  // zeros take as long as numbers, once they are in memory
    SequenceRows const sequence{.rows = rows, .first_position = context - rows, .pages = pages.data()};
    int const width = spec.heads * spec.head_dim;
    AlignedArray<float> q(std::size_t(rows) * std::size_t(width), memory), out(q.size(), memory);
    int const threads = std::max(arithmetic_.operations.attention_threads, team_.size());
    AlignedArray<std::byte> workspace(attention_workspace_bytes(spec.head_dim, context, threads), memory);
    PagedAttention op{.out = out.data(),
                      .out_stride = width,
                      .q = q.data(),
                      .q_stride = width,
                      .kv = {.base = pool.data(), .shape = shape},
                      .sequences = {&sequence, 1},
                      .heads = spec.heads,
                      .scale = float(spec.attention_scale),
                      .workspace = {workspace.data(), workspace.size()}};
    auto const seconds = time([&] {
      for (op.kv.layer = 0; op.kv.layer < layers; ++op.kv.layer) arithmetic_.operations.paged_attention(op, queue_);
    });
    double const pairs = rows * (context - (rows - 1) / 2.0);
    report({.operation = "attention",
            .shape = text(rows, " tokens at ", context),
            .operations = pairs * cost_.attention_ops_per_pair / layers,
            .bytes = context * cost_.kv_bytes_per_token / layers,
            .peak_gop_per_s = limits_.attention_gop_per_s,
            .seconds = seconds},
           layers);
  }

  template <class Work>
  std::vector<double> time(Work const& work) const {
    std::vector<double> seconds;
    work();
    for (long long i = 0; i < arguments_.integer("repetitions"); ++i) {
      Microseconds const begin_us = now_us();
      work();
      seconds.push_back(double(now_us() - begin_us) * 1e-6);
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds;
  }

  /// percent_of_peak: of bandwidth or of arithmetic, whichever bounds the call.
  void report(Measured const& m, double calls) const {
    double const median_s = m.seconds[m.seconds.size() / 2] / calls;
    double const gb_per_s = m.bytes / median_s / 1e9, gop_per_s = m.operations / median_s / 1e9;
    double const share = std::max(gb_per_s / limits_.read_gb_per_s, gop_per_s / m.peak_gop_per_s);
    std::cout << text("{\"operation\":\"", m.operation, "\",\"shape\":\"", m.shape, "\",\"median_us\":", median_s * 1e6,
                      ",\"min_us\":", m.seconds.front() / calls * 1e6, ",\"gb_per_s\":", gb_per_s,
                      ",\"gop_per_s\":", gop_per_s, ",\"percent_of_peak\":", 100 * share,
                      ",\"read_gb_per_s\":", limits_.read_gb_per_s, ",\"peak_gop_per_s\":", m.peak_gop_per_s,
                      ",\"threads\":", team_.size(), ",\"backend\":\"", arithmetic_.operations.name, "\"}")
              << std::endl;
  }

  Arguments const& arguments_;
  ThreadTeam& team_;
  Queue queue_{.team = &team_};
  Arithmetic arithmetic_;
  Model model_;
  ModelCost cost_;
  Limits limits_;
};

void run(int argc, char** argv) {
  CoreSet const cores = find_cores();
  Arguments const arguments(argc, argv,
                            {{"model", ""},
                             {"threads", text(cores.usable_threads())},
                             {"backend", "auto"},
                             {"precision", "fast"},
                             {"tokens", "1,8,32,512"},
                             {"contexts", "512,7000"},
                             {"repetitions", "10"}});
  ThreadTeam team(bench_team(cores, arguments.integer("threads")));
  Bench(arguments, team).run();
}

}  // namespace
}  // namespace windlass::bench

int main(int argc, char** argv) {
  try {
    windlass::bench::run(argc, argv);
    return 0;
  } catch (std::exception const& error) {
    std::fprintf(stderr, "kernel_bench: %s\n", error.what());
    return 2;
  }
}
