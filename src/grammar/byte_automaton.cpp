#include "src/grammar/byte_automaton.hpp"

#include <algorithm>
#include <unordered_set>

namespace windlass::grammar {
namespace {

constexpr std::uint32_t unknown_step = UINT32_MAX;

std::size_t mix(std::size_t hash, std::uint64_t value) {
  std::uint64_t x = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return x ^ (x >> 29);
}

}  // namespace

std::size_t ByteAutomaton::Hash::operator()(Frame const& frame) const {
  return mix(mix(mix(1, frame.edge), frame.count), frame.parent);
}

std::size_t ByteAutomaton::Hash::operator()(Way const& way) const {
  return mix(mix(2, std::uint32_t(way.node)), way.stack);
}

ByteAutomaton::ByteAutomaton(std::shared_ptr<Grammar const> grammar) : grammar_(std::move(grammar)) {
  sort_bytes_into_classes();
  intern({});  // dead_state
  StateData first;
  expand({{grammar_->ends(grammar_->start()).first, 0}}, first);
  start_ = intern(std::move(first));
}

void ByteAutomaton::sort_bytes_into_classes() {
  std::array<bool, 257> begins{};
  for (Edge const& edge : grammar_->edges())
    if (edge.kind == Edge::Kind::bytes) begins[edge.bytes.low] = begins[edge.bytes.high + 1u] = true;
  std::uint8_t last = 0;
  for (std::size_t byte = 0; byte < 256; ++byte) class_of_[byte] = byte > 0 && begins[byte] ? ++last : last;
  classes_ = last + 1u;
}

std::uint32_t ByteAutomaton::frame(Frame const& frame) {
  auto const [at, is_new] = frame_index_.try_emplace(frame, std::uint32_t(frames_.size()));
  if (is_new) frames_.push_back(frame);
  return at->second;
}

/// A rule has ended: its caller goes on, or calls it once more.
void ByteAutomaton::end_rule(std::uint32_t stack, std::vector<Way>& work, StateData& out) {
  if (stack == 0) {
    out.accepts = true;
    return;
  }
  Frame const ended = frames_[stack];
  Edge const& call = grammar_->edges()[ended.edge];
  if (ended.count >= call.times.least) work.push_back({call.to, ended.parent});
  if (ended.count >= call.times.most) return;
  bool const counts = call.times.most != unlimited || ended.count < call.times.least;
  Frame const again{.edge = ended.edge, .count = ended.count + (counts ? 1u : 0u), .parent = ended.parent};
  work.push_back({grammar_->ends(call.rule).first, frame(again)});
}

/// Follows all edges that need no byte.
void ByteAutomaton::expand(std::vector<Way> work, StateData& out) {
  std::unordered_set<Way, Hash> seen;
  while (!work.empty()) {
    Way const way = work.back();
    work.pop_back();
    if (!seen.insert(way).second) continue;
    if (seen.size() > max_ways) {
      out = {};
      return;
    }
    if (grammar_->ends_rule(way.node)) end_rule(way.stack, work, out);
    bool reads = false;
    auto const edges = grammar_->edges_of(way.node);
    for (std::size_t i = 0; i < edges.size(); ++i) {
      Edge const& edge = edges[i];
      reads |= edge.kind == Edge::Kind::bytes;
      bool const passes = edge.kind == Edge::Kind::empty || (edge.kind == Edge::Kind::call && edge.times.least == 0);
      if (passes) work.push_back({edge.to, way.stack});
      if (edge.kind == Edge::Kind::call)
        work.push_back(
            {grammar_->ends(edge.rule).first,
             frame({.edge = std::uint32_t(grammar_->first_edge(way.node) + i), .count = 1, .parent = way.stack})});
    }
    if (reads) out.ways.push_back(way);
  }
  std::sort(out.ways.begin(), out.ways.end());
}

State ByteAutomaton::intern(StateData state) {
  std::size_t hash = state.accepts;
  for (Way const& way : state.ways) hash = mix(hash, Hash{}(way));
  auto const [first, last] = state_index_.equal_range(hash);
  for (auto at = first; at != last; ++at)
    if (states_[at->second] == state) return State(at->second);
  state_index_.emplace(hash, std::uint32_t(states_.size()));
  states_.push_back(std::move(state));
  return State(states_.size() - 1);
}

State ByteAutomaton::make_step(State state, unsigned char byte) {
  std::vector<Way> work;
  for (Way const& way : states_[std::uint32_t(state)].ways)
    for (Edge const& edge : grammar_->edges_of(way.node))
      if (edge.kind == Edge::Kind::bytes && edge.bytes.low <= byte && byte <= edge.bytes.high)
        work.push_back({edge.to, way.stack});
  StateData made;
  expand(std::move(work), made);
  return intern(std::move(made));
}

State ByteAutomaton::next(State state, unsigned char byte) {
  auto& steps = states_[std::uint32_t(state)].next;
  if (steps.empty()) steps.assign(classes_, unknown_step);
  if (std::uint32_t const known = steps[class_of_[byte]]; known != unknown_step) return State(known);
  State const made = make_step(state, byte);
  states_[std::uint32_t(state)].next[class_of_[byte]] = std::uint32_t(made);
  return made;
}

}  // namespace windlass::grammar
