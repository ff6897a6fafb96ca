/// What a text may look like: rules over bytes that call each other. Built once, then only read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace windlass::grammar {

enum class Node : std::uint32_t {};
enum class Rule : std::uint32_t {};

constexpr std::uint32_t unlimited = UINT32_MAX;

/// How often a rule is repeated.
struct Times {
  std::uint32_t least = 1, most = 1;  ///< most may be `unlimited`
};

struct ByteRange {
  unsigned char low = 0, high = 0;  ///< both included
};

/// One way on from a node.
struct Edge {
  enum class Kind : std::uint8_t { bytes, empty, call } kind = Kind::empty;
  ByteRange bytes{};  ///< for Kind::bytes
  Rule rule{};        ///< for Kind::call
  Times times{};      ///< for Kind::call
  Node to{};
};

/// A text is allowed where its bytes lead from the first to the last node of `start`. Every node lies on such a way.
class Grammar {
 public:
  struct Ends {
    Node first{}, last{};
  };
  std::span<Edge const> edges_of(Node node) const;
  std::span<Edge const> edges() const { return edges_; }
  /// Position of edges_of(node)[0] in edges().
  std::uint32_t first_edge(Node node) const { return first_edge_[std::uint32_t(node)]; }
  Ends ends(Rule rule) const { return rules_[std::uint32_t(rule)]; }
  bool ends_rule(Node node) const { return ends_rule_[std::uint32_t(node)]; }
  Rule start() const { return start_; }

 private:
  friend class GrammarBuilder;
  std::vector<Edge> edges_;
  std::vector<std::uint32_t> first_edge_;  // [nodes + 1]
  std::vector<Ends> rules_;
  std::vector<bool> ends_rule_;  // [nodes]
  Rule start_{};
};

/// Throws InputError where more than `max_nodes` are asked for.
class GrammarBuilder {
 public:
  static constexpr std::size_t max_nodes = 400'000;

  Node node();
  /// A rule whose ways from first to last are added later.
  Rule rule();
  Grammar::Ends ends(Rule rule) const { return rules_[std::uint32_t(rule)]; }

  void add_bytes(Node from, Node to, ByteRange bytes);
  void add_text(Node from, Node to, std::string_view bytes);  ///< one byte after the other
  /// Any of the texts; those that begin alike share their way.
  void add_choices(Grammar::Ends between, std::vector<std::string> texts);
  void add_empty(Node from, Node to);
  void add_call(Node from, Node to, Rule rule) { add_repeat(from, {.kind = Edge::Kind::call, .rule = rule, .to = to}); }
  void add_repeat(Node from, Edge call);  ///< an edge of Kind::call

  /// Drops what leads nowhere. Throws InputError where no finite text is allowed, or where a rule calls itself before
  /// any byte.
  Grammar finish(Rule start) &&;

 private:
  std::vector<bool> productive_nodes() const;
  std::vector<bool> nullable_rules() const;
  bool usable(Edge const& edge, std::vector<bool> const& productive) const;
  void drop_unproductive(Rule start);
  void let_nullable_repeats_be_left_out();
  void refuse_left_recursion() const;

  std::vector<std::vector<Edge>> nodes_;
  std::vector<Grammar::Ends> rules_;
};

}  // namespace windlass::grammar
