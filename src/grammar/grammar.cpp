#include "src/grammar/grammar.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::grammar {
namespace {

std::uint32_t index(Node node) { return std::uint32_t(node); }
std::uint32_t index(Rule rule) { return std::uint32_t(rule); }

}  // namespace

std::span<Edge const> Grammar::edges_of(Node node) const {
  auto const first = first_edge_[index(node)];
  return std::span(edges_).subspan(first, first_edge_[index(node) + 1] - first);
}

Node GrammarBuilder::node() {
  if (nodes_.size() == max_nodes)
    throw InputError(
        text("the grammar needs more than ", max_nodes, " nodes; use smaller counts or fewer alternatives"));
  nodes_.emplace_back();
  return Node(nodes_.size() - 1);
}

Rule GrammarBuilder::rule() {
  Node const first = node(), last = node();
  rules_.push_back({first, last});
  return Rule(rules_.size() - 1);
}

void GrammarBuilder::add_bytes(Node from, Node to, ByteRange bytes) {
  nodes_[index(from)].push_back({.kind = Edge::Kind::bytes, .bytes = bytes, .to = to});
}

void GrammarBuilder::add_text(Node from, Node to, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto const byte = static_cast<unsigned char>(bytes[i]);
    Node const next = i + 1 == bytes.size() ? to : node();
    add_bytes(from, next, {byte, byte});
    from = next;
  }
  if (bytes.empty()) add_empty(from, to);
}

void GrammarBuilder::add_choices(Grammar::Ends between, std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  std::vector<Node> path{between.first};  // nodes along the last text
  std::string_view last;
  for (std::string const& next : texts) {
    std::size_t shared = 0;
    while (shared < std::min(last.size(), next.size()) && last[shared] == next[shared]) ++shared;
    path.resize(shared + 1, between.first);
    for (std::size_t i = shared; i < next.size(); ++i) {
      auto const byte = static_cast<unsigned char>(next[i]);
      path.push_back(node());
      add_bytes(path[i], path[i + 1], {byte, byte});
    }
    add_empty(path.back(), between.last);
    last = next;
  }
}

void GrammarBuilder::add_empty(Node from, Node to) { nodes_[index(from)].push_back({.to = to}); }

void GrammarBuilder::add_repeat(Node from, Edge call) {
  if (call.times.most == 0) return add_empty(from, call.to);
  nodes_[index(from)].push_back(call);
}

bool GrammarBuilder::usable(Edge const& edge, std::vector<bool> const& productive) const {
  bool const rule_ends =
      edge.kind != Edge::Kind::call || edge.times.least == 0 || productive[index(rules_[index(edge.rule)].first)];
  return rule_ends && productive[index(edge.to)];
}

/// Nodes from which the end of their rule can be reached.
std::vector<bool> GrammarBuilder::productive_nodes() const {
  std::vector<bool> productive(nodes_.size());
  for (auto const& rule : rules_) productive[index(rule.last)] = true;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      if (productive[i]) continue;
      auto const& edges = nodes_[i];
      productive[i] = std::any_of(edges.begin(), edges.end(), [&](Edge const& e) { return usable(e, productive); });
      changed |= productive[i];
    }
  }
  return productive;
}

void GrammarBuilder::drop_unproductive(Rule start) {
  auto const productive = productive_nodes();
  if (!productive[index(rules_[index(start)].first)])
    throw InputError("no finite text can satisfy it; remove the contradiction or the endless recursion");
  for (auto& edges : nodes_) {
    std::erase_if(edges, [&](Edge const& edge) { return !usable(edge, productive); });
    for (Edge& edge : edges)
      if (edge.kind == Edge::Kind::call && !productive[index(rules_[index(edge.rule)].first)]) edge = {.to = edge.to};
  }
}

/// Rules whose end is reached without a byte.
std::vector<bool> GrammarBuilder::nullable_rules() const {
  std::vector<bool> nullable(nodes_.size());  // from this node to the end of its rule
  for (auto const& rule : rules_) nullable[index(rule.last)] = true;
  auto const passes = [&](Edge const& edge) {
    if (!nullable[index(edge.to)] || edge.kind == Edge::Kind::bytes) return false;
    return edge.kind == Edge::Kind::empty || edge.times.least == 0 || nullable[index(rules_[index(edge.rule)].first)];
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      if (nullable[i] || !std::any_of(nodes_[i].begin(), nodes_[i].end(), passes)) continue;
      nullable[i] = changed = true;
    }
  }
  std::vector<bool> rules;
  for (auto const& rule : rules_) rules.push_back(nullable[index(rule.first)]);
  return rules;
}

/// A repetition of what may be empty may as well be left out: it needs no count from below.
void GrammarBuilder::let_nullable_repeats_be_left_out() {
  auto const nullable = nullable_rules();
  for (auto& edges : nodes_)
    for (Edge& edge : edges)
      if (edge.kind == Edge::Kind::call && nullable[index(edge.rule)]) edge.times.least = 0;
}

void GrammarBuilder::refuse_left_recursion() const {
  std::vector<std::vector<std::uint32_t>> calls(rules_.size());  // before any byte
  std::vector<std::size_t> seen_from(nodes_.size());             // 1 + the rule whose search came by last
  for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
    std::vector<Node> work{rules_[rule].first};
    while (!work.empty()) {
      Node const at = work.back();
      work.pop_back();
      for (Edge const& edge : nodes_[index(at)]) {
        if (edge.kind == Edge::Kind::call) calls[rule].push_back(index(edge.rule));
        bool const passes = edge.kind == Edge::Kind::empty || (edge.kind == Edge::Kind::call && edge.times.least == 0);
        if (!passes || seen_from[index(edge.to)] == rule + 1) continue;
        seen_from[index(edge.to)] = rule + 1;
        work.push_back(edge.to);
      }
    }
  }
  // A rule is free of left recursion once all that it calls first are; what stays is a cycle.
  std::vector<bool> free(rules_.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
      if (free[rule] || !std::all_of(calls[rule].begin(), calls[rule].end(), [&](auto r) { return free[r]; })) continue;
      free[rule] = changed = true;
    }
  }
  if (!std::all_of(free.begin(), free.end(), [](bool is) { return is; }))
    throw InputError("it refers to itself before any character; put something between");
}

Grammar GrammarBuilder::finish(Rule start) && {
  drop_unproductive(start);
  let_nullable_repeats_be_left_out();
  refuse_left_recursion();
  Grammar grammar;
  grammar.start_ = start;
  grammar.rules_ = std::move(rules_);
  grammar.ends_rule_.resize(nodes_.size());
  for (auto const& rule : grammar.rules_) grammar.ends_rule_[index(rule.last)] = true;
  for (auto const& edges : nodes_) {
    grammar.first_edge_.push_back(std::uint32_t(grammar.edges_.size()));
    grammar.edges_.insert(grammar.edges_.end(), edges.begin(), edges.end());
  }
  grammar.first_edge_.push_back(std::uint32_t(grammar.edges_.size()));
  return grammar;
}

}  // namespace windlass::grammar
