/// Reads a text byte by byte along a grammar. A state is the set of all ways that fit so far; states and steps are made
/// when they are first needed and kept.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "src/grammar/grammar.hpp"

namespace windlass::grammar {

/// A set of ways through the grammar; equal sets have equal numbers.
enum class State : std::uint32_t {};
constexpr State dead_state{0};  ///< no text goes on from here

/// Not safe from several threads.
class ByteAutomaton {
 public:
  /// Ways that fit at once; a text that has more is taken for one that does not fit.
  static constexpr std::size_t max_ways = 1000;

  explicit ByteAutomaton(std::shared_ptr<Grammar const> grammar);

  State start() const { return start_; }
  State next(State state, unsigned char byte);
  bool accepts(State state) const { return states_[std::uint32_t(state)].accepts; }  ///< the text may end here
  bool goes_on(State state) const { return !states_[std::uint32_t(state)].ways.empty(); }
  std::size_t states() const { return states_.size(); }

 private:
  /// A call that has not ended.
  struct Frame {
    std::uint32_t edge = 0, count = 0, parent = 0;
    bool operator==(Frame const&) const = default;
  };
  struct Way {
    Node node{};
    std::uint32_t stack = 0;  ///< index of the innermost frame; 0: none
    auto operator<=>(Way const&) const = default;
  };
  struct StateData {
    std::vector<Way> ways;  ///< sorted; nodes with byte edges alone
    bool accepts = false;
    std::vector<std::uint32_t> next;  ///< [classes], empty until first used; unknown_step: not made yet
    bool operator==(StateData const& other) const { return accepts == other.accepts && ways == other.ways; }
  };
  struct Hash {
    std::size_t operator()(Frame const& frame) const;
    std::size_t operator()(Way const& way) const;
  };

  std::uint32_t frame(Frame const& frame);
  void end_rule(std::uint32_t stack, std::vector<Way>& work, StateData& out);
  void expand(std::vector<Way> work, StateData& out);
  State intern(StateData state);
  State make_step(State state, unsigned char byte);
  void sort_bytes_into_classes();

  std::shared_ptr<Grammar const> grammar_;
  std::array<std::uint8_t, 256> class_of_{};  ///< bytes that no edge tells apart
  std::size_t classes_ = 0;
  std::vector<Frame> frames_{Frame{}};
  std::unordered_map<Frame, std::uint32_t, Hash> frame_index_;
  std::vector<StateData> states_;
  std::unordered_multimap<std::size_t, std::uint32_t> state_index_;
  State start_ = dead_state;
};

}  // namespace windlass::grammar
