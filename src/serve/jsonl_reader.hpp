/// Lines of a JSONL input, one at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "src/serve/input_stream.hpp"

namespace windlass {

struct JsonlLine {
  std::string text;          ///< without its end; cut where it is too long
  std::uint64_t number = 0;  ///< counted from 1, empty lines too
  bool too_long = false;     ///< more than the limit
  std::uint64_t bytes = 0;   ///< with its end, as read, and with empty lines before it
};

/// Local. Memory: one line and 256 KiB. Lines of nothing but white space are passed over; a byte order mark at the
/// start is too; the last line needs no end.
class JsonlReader {
 public:
  JsonlReader(InputStream& input, std::size_t max_line_bytes);
  /// False at the end. Throws what the stream throws.
  bool next(JsonlLine& line);
  /// Bytes taken from the stream so far, decompressed. Safe from any thread.
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  bool read_line(JsonlLine& line);
  bool fill();

  InputStream* input_;
  std::size_t max_line_bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  ///< unread part of the buffer
  std::uint64_t number_ = 0;
  std::atomic<std::uint64_t> bytes_read_ = 0;
};

}  // namespace windlass
