/// Lines from whoever types, words for whoever reads, and Ctrl-C as an event instead of an end.
#pragma once

#include <string>
#include <string_view>

namespace windlass {

/// Made before other threads, which must not get SIGINT. Local.
class ChatTerminal {
 public:
  ChatTerminal();
  ~ChatTerminal();
  ChatTerminal(ChatTerminal const&) = delete;
  ChatTerminal& operator=(ChatTerminal const&) = delete;

  struct Line {
    enum class Kind : unsigned char { words, interrupted, end } kind = Kind::end;
    std::string words;
  };
  /// `prompt` is shown where a person types.
  Line read_line(std::string const& prompt);
  /// Whether Ctrl-C came since this was asked last.
  bool interrupted();

  enum class Tone : unsigned char { plain, dim };
  /// Prints now. Control characters, which could do anything to a terminal, are left out.
  void print(std::string_view words, Tone tone = Tone::plain) const;
  bool person_types() const { return person_types_; }

 private:
  bool const person_types_, person_reads_;
  int interrupts_ = -1;  ///< a signalfd
  std::string typed_;    ///< read, not taken yet
  bool ended_ = false;
};

}  // namespace windlass
