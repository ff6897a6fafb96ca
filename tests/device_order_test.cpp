/// The engine on a backend that behaves as a device does: operations run when they are waited for, read lists when they
/// are called, and reach the backend's own memory alone. What it computes is a CPU backend's, so the answers are too.
#include <functional>
#include <map>
#include <memory>
#include <tuple>

#include "tests/engine_fixtures.hpp"
#include "tests/equal_answers.hpp"

namespace windlass {
namespace {

using namespace testing_data;

/// What the functions of the table share.
struct DeferredDevice {
  Operations const* host = &operations("auto");
  std::vector<std::function<void()>> queue;
  std::map<std::byte const*, std::size_t> regions;  ///< bytes from an address
  int operations_run = 0;

  void wait() {
    for (auto const& operation : std::exchange(queue, {})) operation(), ++operations_run;
  }
  bool reaches(void const* pointer) const {
    auto const at = static_cast<std::byte const*>(pointer);
    auto region = regions.upper_bound(at);
    if (pointer == nullptr || region == regions.begin()) return pointer == nullptr;
    --region;
    return at < region->first + region->second;
  }
  void expect_reached(std::initializer_list<void const*> pointers) const {
    for (void const* const pointer : pointers) EXPECT_TRUE(reaches(pointer)) << "an array of an operation";
  }
};

DeferredDevice& device() {
  static DeferredDevice the_device;
  return the_device;
}

std::shared_ptr<std::byte> allocate(std::size_t bytes, MemoryUse use) {
  auto const memory = host_memory.allocate(bytes, use);
  device().regions[memory.get()] = bytes;
  return {memory.get(), [memory](std::byte* at) { device().regions.erase(at); }};
}

Memory const deferred_memory{
    .space = MemorySpace::device,
    .allocate = allocate,
    .zero = [](std::span<std::byte> bytes) { device().wait(), host_memory.zero(bytes); },
    .copy = [](std::span<std::byte> to, std::byte const* from) { device().wait(), host_memory.copy(to, from); },
    .settle = [](std::span<std::byte const>) {},
    .wait = [](Queue const&) { device().wait(); },
    .free_bytes = [] { return std::uint64_t{1} << 30; }};

/// Queues the host's operation on a copy of `op`; `keep` is what the copy points to.
template <class Op, class... Keep>
void later(void (*run)(Op const&, Queue const&), Op const& op, Queue const& queue, Keep... keep) {
  device().queue.push_back([=] { (void)std::tuple(keep...), run(op, Queue{.team = queue.team}); });
}

template <class T>
std::shared_ptr<std::vector<T>> copy_of(T const* list, std::size_t count) {
  return std::make_shared<std::vector<T>>(list, list + count);
}

/// Rows of sequences with page tables of their own.
struct SequenceCopies {
  std::vector<SequenceRows> rows;
  std::vector<std::vector<std::uint32_t>> pages;

  explicit SequenceCopies(std::span<SequenceRows const> sequences) : rows(sequences.begin(), sequences.end()) {
    for (SequenceRows& sequence : rows) {
      auto const blocks = std::size_t((sequence.first_position + sequence.rows - 1) / block_tokens + 1);
      pages.emplace_back(sequence.pages, sequence.pages + blocks);
      sequence.pages = pages.back().data();
    }
  }
};

void expect_reached(Activations const& x) { device().expect_reached({x.values, x.scales, x.scaled_sums, x.sums}); }

void encode(EncodeActivations const& op, Queue const& queue) {
  expect_reached(op.out);
  device().expect_reached({op.x});
  later(device().host->encode_activations, op, queue);
}

void matmul(MatMul const& op, Queue const& queue) {
  expect_reached(op.x);
  device().expect_reached({op.y, op.bias, op.weight->bytes.data()});
  auto const weight = std::make_shared<PackedMatrix>(*op.weight);
  MatMul copy = op;
  copy.weight = weight.get();
  later(device().host->matmul, copy, queue, weight);
}

void rms_norm(RmsNorm const& op, Queue const& queue) {
  device().expect_reached({op.x, op.y, op.weight});
  later(device().host->rms_norm, op, queue);
}

void rope_and_store(RopeAndStore const& op, Queue const& queue) {
  device().expect_reached({op.qkv, op.cos_sin, op.q_norm, op.k_norm, op.kv.base});
  auto const sequences = std::make_shared<SequenceCopies>(op.sequences);
  RopeAndStore copy = op;
  copy.sequences = sequences->rows;
  later(device().host->rope_and_store, copy, queue, sequences);
}

void paged_attention(PagedAttention const& op, Queue const& queue) {
  device().expect_reached({op.out, op.q, op.kv.base, op.workspace.data()});
  auto const sequences = std::make_shared<SequenceCopies>(op.sequences);
  PagedAttention copy = op;
  copy.sequences = sequences->rows;
  later(device().host->paged_attention, copy, queue, sequences);
}

void gated_activation(GatedActivation const& op, Queue const& queue) {
  device().expect_reached({op.x, op.y});
  later(device().host->gated_activation, op, queue);
}

void embedding(Embedding const& op, Queue const& queue) {
  device().expect_reached({op.y, op.table->bytes.data()});
  auto const tokens = copy_of(op.tokens.data(), op.tokens.size());
  auto const table = std::make_shared<PackedMatrix>(*op.table);
  Embedding copy = op;
  copy.tokens = *tokens;
  copy.table = table.get();
  later(device().host->embedding, copy, queue, tokens, table);
}

void log_normalizer(LogNormalizer const& op, Queue const& queue) {
  device().expect_reached({op.normalizer, op.x});
  later(device().host->log_normalizer, op, queue);
}

void route_experts(RouteExperts const& op, Queue const& queue) {
  device().expect_reached({op.experts, op.weights, op.logits});
  later(device().host->route_experts, op, queue);
}

void gather_rows(GatherRows const& op, Queue const& queue) {
  device().expect_reached({op.x, op.y});
  auto const rows = copy_of(op.rows, std::size_t(op.count));
  GatherRows copy = op;
  copy.rows = rows->data();
  later(device().host->gather_rows, copy, queue, rows);
}

void combine_expert(CombineExpert const& op, Queue const& queue) {
  device().expect_reached({op.x, op.y});
  auto const rows = copy_of(op.rows, std::size_t(op.count));
  auto const weights = copy_of(op.weights, std::size_t(op.count));
  CombineExpert copy = op;
  copy.rows = rows->data();
  copy.weights = weights->data();
  later(device().host->combine_expert, copy, queue, rows, weights);
}

Operations deferred_operations() {
  Operations deferred = *device().host;
  deferred.memory = &deferred_memory;
  deferred.encode_activations = encode;
  deferred.matmul = matmul;
  deferred.rms_norm = rms_norm;
  deferred.rope_and_store = rope_and_store;
  deferred.paged_attention = paged_attention;
  deferred.gated_activation = gated_activation;
  deferred.embedding = embedding;
  deferred.log_normalizer = log_normalizer;
  deferred.route_experts = route_experts;
  deferred.gather_rows = gather_rows;
  deferred.combine_expert = combine_expert;
  return deferred;
}

std::map<RequestId, Answer> answers(std::string const& model, Operations const& operations) {
  std::string const folder = reference_path(model);
  Runner runner(folder, Precision::fast, operations, 2);
  runner.config.chunk_tokens = 48;
  auto const golden = read_json(folder + "/golden.json");
  std::vector<Request> requests;
  for (auto const& prompt : golden.at("prompts").as_array()) {
    requests.push_back(greedy_request(requests.size(), token_ids(prompt.at("ids")), 12));
    requests.back().choices = 2;
    requests.back().sampling.temperature = 1;
    requests.back().sampling.seed = 3;
    requests.back().sampling.prompt_logprobs = 1;
  }
  return runner.run(std::move(requests));
}

TEST(DeviceOrder, AnEngineOnADeviceAnswersAsOneOnTheHost) {
  Operations const deferred = deferred_operations();
  for (char const* model : {"llama-gqa", "qwen2-sharded", "qwen3moe-6x2", "gemma2-softcaps"}) {
    SCOPED_TRACE(model);
    auto const expected = answers(model, *device().host);
    device().operations_run = 0;

    auto const actual = answers(model, deferred);

    ASSERT_EQ(actual.size(), expected.size());
    for (auto const& [id, answer] : expected) expect_equal(actual.at(id), answer);
    EXPECT_GT(device().operations_run, 100);
    EXPECT_TRUE(device().queue.empty());
    EXPECT_TRUE(device().regions.empty()) << "memory is left on the device";
  }
}

}  // namespace
}  // namespace windlass
