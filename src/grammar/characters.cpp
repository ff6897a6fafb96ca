#include "src/grammar/characters.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::grammar {
namespace {

constexpr std::size_t max_automaton_nodes = 100'000;
constexpr CharacterRange surrogates{0xD800, 0xDFFF};
constexpr char32_t last_character = 0x10FFFF;

struct Utf8 {
  std::array<unsigned char, 4> bytes{};
  std::size_t size = 0;
};

Utf8 utf8(char32_t c) {
  auto const tail = [c](int shift) { return static_cast<unsigned char>(0x80 | ((c >> shift) & 0x3F)); };
  auto const byte = [](char32_t value) { return static_cast<unsigned char>(value); };
  if (c < 0x80) return {{byte(c)}, 1};
  if (c < 0x800) return {{byte(0xC0 | (c >> 6)), tail(0)}, 2};
  if (c < 0x10000) return {{byte(0xE0 | (c >> 12)), tail(6), tail(0)}, 3};
  return {{byte(0xF0 | (c >> 18)), tail(12), tail(6), tail(0)}, 4};
}

/// Adds ranges of characters between two nodes; ranges share their last bytes.
class Utf8Writer {
 public:
  Utf8Writer(GrammarBuilder& builder, Grammar::Ends between) : builder_(builder), between_(between) {}

  void add(CharacterRange range) {
    for (char32_t const border : {0x7Fu, 0x7FFu, 0xFFFFu})
      if (range.low <= border && border < range.high) {
        add_same_size({range.low, border});
        range.low = border + 1;
      }
    add_same_size(range);
  }

 private:
  void add_same_size(CharacterRange range) {
    if (range.low > range.high) return;
    add_from(between_.first, utf8(range.low), utf8(range.high), 0);
  }

  /// The bytes from `at` on, which lie between those of low and high.
  void add_from(Node from, Utf8 low, Utf8 const& high, std::size_t at) {
    if (at + 1 == low.size) return builder_.add_bytes(from, between_.last, {low.bytes[at], high.bytes[at]});
    if (low.bytes[at] == high.bytes[at]) return add_with_first(from, low, high, at);
    if (!all(low, at + 1, 0x80)) {
      Utf8 end = low;
      std::fill(end.bytes.begin() + std::ptrdiff_t(at) + 1, end.bytes.begin() + std::ptrdiff_t(end.size), 0xBF);
      add_with_first(from, low, end, at);
      ++low.bytes[at];
    }
    unsigned char full_until = high.bytes[at];
    if (!all(high, at + 1, 0xBF)) {
      Utf8 begin = high;
      std::fill(begin.bytes.begin() + std::ptrdiff_t(at) + 1, begin.bytes.begin() + std::ptrdiff_t(begin.size), 0x80);
      add_with_first(from, begin, high, at);
      --full_until;
    }
    if (low.bytes[at] <= full_until) builder_.add_bytes(from, tails(low.size - at - 1), {low.bytes[at], full_until});
  }

  void add_with_first(Node from, Utf8 const& low, Utf8 const& high, std::size_t at) {
    bool const full = all(low, at + 1, 0x80) && all(high, at + 1, 0xBF);
    Node const next = full ? tails(low.size - at - 1) : builder_.node();
    builder_.add_bytes(from, next, {low.bytes[at], low.bytes[at]});
    if (!full) add_from(next, low, high, at + 1);
  }

  static bool all(Utf8 const& character, std::size_t from, unsigned char byte) {
    return std::all_of(character.bytes.begin() + std::ptrdiff_t(from),
                       character.bytes.begin() + std::ptrdiff_t(character.size),
                       [byte](unsigned char b) { return b == byte; });
  }

  /// A node from which `count` bytes 80..BF lead to the end.
  Node tails(std::size_t count) {
    if (count == 0) return between_.last;
    while (tails_.size() < count) {
      Node const next = tails_.empty() ? between_.last : tails_.back();
      tails_.push_back(builder_.node());
      builder_.add_bytes(tails_.back(), next, {0x80, 0xBF});
    }
    return tails_[count - 1];
  }

  GrammarBuilder& builder_;
  Grammar::Ends between_;
  std::vector<Node> tails_;
};

/// Characters that a JSON string holds as they are.
CharacterSet const& unescaped() {
  static CharacterSet const set = complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  return set;
}

std::string json_escape(char32_t c) {
  constexpr std::string_view digits = "0123456789abcdef";
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return text("\\u00", digits[(c >> 4) & 15], digits[c & 15]);
  }
}

void add_json_characters(GrammarBuilder& builder, Grammar::Ends between, CharacterSet const& set) {
  add_characters(builder, between, intersection(set, unescaped()));
  static CharacterSet const escaped = complement(unescaped());
  for (CharacterRange const range : intersection(set, escaped))
    for (char32_t c = range.low; c <= range.high; ++c) builder.add_text(between.first, between.last, json_escape(c));
}

}  // namespace

CharacterSet normalised(CharacterSet set) {
  std::sort(set.begin(), set.end(), [](auto const& a, auto const& b) { return a.low < b.low; });
  CharacterSet out;
  for (CharacterRange const& range : set) {
    if (!out.empty() && range.low <= out.back().high + 1)
      out.back().high = std::max(out.back().high, range.high);
    else
      out.push_back(range);
  }
  return out;
}

CharacterSet complement(CharacterSet const& set) {
  CharacterSet taken = set;
  taken.push_back(surrogates);
  CharacterSet out;
  char32_t next = 0;
  for (CharacterRange const& range : normalised(std::move(taken))) {
    if (range.low > next) out.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= last_character) out.push_back({next, last_character});
  return out;
}

CharacterSet intersection(CharacterSet const& a, CharacterSet const& b) {
  CharacterSet out;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    char32_t const low = std::max(a[i].low, b[j].low), high = std::min(a[i].high, b[j].high);
    if (low <= high) out.push_back({low, high});
    if (a[i].high < b[j].high)
      ++i;
    else
      ++j;
  }
  return out;
}

std::uint32_t CharacterAutomaton::add_node() {
  if (nodes.size() == max_automaton_nodes)
    throw InputError(text("the pattern needs more than ", max_automaton_nodes, " nodes; use smaller counts"));
  nodes.emplace_back();
  return std::uint32_t(nodes.size() - 1);
}

CharacterAutomaton with_length(CharacterAutomaton const& automaton, Times characters) {
  // Without an upper bound, lengths beyond the lower one are not told apart.
  bool const bounded = characters.most != unlimited;
  std::uint32_t const top = bounded ? characters.most : characters.least;
  CharacterAutomaton out;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> work;
  auto const node_of = [&](std::uint32_t node, std::uint32_t length) {
    auto const [at, is_new] = known.try_emplace({node, length}, std::uint32_t(out.nodes.size()));
    if (is_new) {
      out.add_node();
      work.emplace_back(node, length);
    }
    return at->second;
  };
  out.last = out.add_node();
  out.first = node_of(automaton.first, 0);
  while (!work.empty()) {
    auto const [node, length] = work.back();
    work.pop_back();
    std::uint32_t const from = known.at({node, length});
    if (node == automaton.last && length >= characters.least) out.nodes[from].push_back({.on = {}, .to = out.last});
    for (auto const& step : automaton.nodes[node]) {
      if (!step.on.empty() && bounded && length == top) continue;
      std::uint32_t const after = step.on.empty() ? length : std::min(top, length + 1);
      std::uint32_t const to = node_of(step.to, after);
      out.nodes[from].push_back({.on = step.on, .to = to});
    }
  }
  return out;
}

void add_characters(GrammarBuilder& builder, Grammar::Ends between, CharacterSet const& set) {
  Utf8Writer writer(builder, between);
  for (CharacterRange const& range : set) writer.add(range);
}

void add_automaton(GrammarBuilder& builder, Grammar::Ends between, CharacterAutomaton const& automaton,
                   Writing writing) {
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < automaton.nodes.size(); ++i) nodes.push_back(builder.node());
  builder.add_empty(between.first, nodes[automaton.first]);
  builder.add_empty(nodes[automaton.last], between.last);
  for (std::size_t i = 0; i < automaton.nodes.size(); ++i)
    for (auto const& step : automaton.nodes[i]) {
      if (step.on.empty())
        builder.add_empty(nodes[i], nodes[step.to]);
      else if (writing == Writing::plain)
        add_characters(builder, {nodes[i], nodes[step.to]}, step.on);
      else
        add_json_characters(builder, {nodes[i], nodes[step.to]}, step.on);
    }
}

std::u32string characters_of(std::string_view bytes) {
  std::u32string out;
  for (std::size_t i = 0; i < bytes.size();) {
    auto const first = static_cast<unsigned char>(bytes[i]);
    std::size_t const size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    char32_t c = size == 1 ? first : first & (0x7Fu >> size);
    for (std::size_t j = 1; j < size && i + j < bytes.size(); ++j)
      c = c << 6 | (static_cast<unsigned char>(bytes[i + j]) & 0x3Fu);
    Utf8 const again = utf8(c);  // the one right way to write it, so a wrong one differs
    std::string_view const given = bytes.substr(i, size);
    bool const right =
        c <= last_character && (c < surrogates.low || c > surrogates.high) &&
        std::equal(given.begin(), given.end(), again.bytes.begin(), again.bytes.begin() + std::ptrdiff_t(again.size),
                   [](char a, unsigned char b) { return static_cast<unsigned char>(a) == b; });
    if (!right) throw InputError("it is not valid UTF-8");
    out += c;
    i += size;
  }
  return out;
}

}  // namespace windlass::grammar
