/// Finds the tool calls in what a model wrote: pure text work, whole or piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

/// How a model family writes a call: a JSON object with a string "name" and "arguments" or "parameters", which is an
/// object or a string that holds one.
enum class ToolCallFormat : std::uint8_t {
  hermes,       ///< <tool_call>{…}</tool_call>, any number of times (Hermes, Qwen2.5, Qwen3); arguments may be absent
  llama3_json,  ///< {…} at the start of a line, after <|python_tag|> or not; more may follow, divided by white space
                ///< and ';' (Llama 3.1 and later)
};

struct ToolCall {
  std::string name;
  std::string arguments;  ///< a JSON object, as the model wrote it
  bool operator==(ToolCall const&) const = default;
};

/// What an answer says and what it calls. Without calls `content` is the text, byte for byte; with calls it is what
/// stands around them, less white space before a call that begins it and behind one that ends it. A malformed call is
/// text like any other.
struct ToolCallText {
  std::string content;
  std::vector<ToolCall> calls;
  bool operator==(ToolCallText const&) const = default;
};

ToolCallText parse_tool_calls(std::string_view text, ToolCallFormat format);

/// The format that a chat template teaches its model; nothing if it is neither of them.
std::optional<ToolCallFormat> tool_call_format_of(std::string_view chat_template);

/// The same while the text arrives: however it is cut, contents and calls add up to what parse_tool_calls finds. Holds
/// back what may become a call and white space that may stand before one. A call comes out when it is complete.
class ToolCallParser {
 public:
  explicit ToolCallParser(ToolCallFormat format) : format_(format) {}

  ToolCallText add(std::string_view text);
  ToolCallText finish();  ///< what was held back; call it once, at the end of the answer

 private:
  enum class Ending : std::uint8_t { more_to_come, end };
  enum class Verdict : std::uint8_t { undecided, call, text };
  enum class Place : std::uint8_t { line_start, inside_line, behind_call };
  /// How far the JSON object of the candidate at the front of buffer_ has been read.
  struct Scan {
    std::size_t begin = 0, at = 0;  ///< in buffer_; 0 and 0: not begun
    int depth = 0;
    bool in_string = false, escaped = false;
  };

  void take(Ending ending, ToolCallText& out);
  bool skip_separator(Ending ending);
  std::size_t find_candidate(Ending ending) const;
  std::size_t find_line_candidate(Ending ending) const;
  std::string_view opening() const;
  Verdict judge(Ending ending, ToolCallText& out);
  Verdict reach_object(Ending ending);
  Verdict read_object(Ending ending);
  Verdict close(Ending ending, ToolCallText& out);
  void write(std::size_t bytes, ToolCallText& out);

  ToolCallFormat format_;
  std::string buffer_;  ///< not decided yet
  std::string spaces_;  ///< before buffer_, not written yet
  Scan scan_;
  Place place_ = Place::line_start;  ///< of the front of buffer_
  bool wrote_ = false, called_ = false;
  int malformed_ = 0;
};

}  // namespace windlass
