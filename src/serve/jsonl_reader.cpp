#include "src/serve/jsonl_reader.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace windlass {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{256} << 10;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

bool is_blank(std::string const& text) { return text.find_first_not_of(" \t\r") == std::string::npos; }

}  // namespace

JsonlReader::JsonlReader(InputStream& input, std::size_t max_line_bytes)
    : input_(&input), max_line_bytes_(max_line_bytes), buffer_(buffer_bytes) {}

bool JsonlReader::next(JsonlLine& line) {
  std::uint64_t skipped_bytes = 0;
  for (;;) {
    if (!read_line(line)) return false;
    line.bytes += std::exchange(skipped_bytes, 0);
    if (line.number == 1 && line.text.starts_with(byte_order_mark)) line.text.erase(0, byte_order_mark.size());
    if (!is_blank(line.text)) return true;
    skipped_bytes = line.bytes;
  }
}

bool JsonlReader::fill() {
  begin_ = 0;
  end_ = input_->read(buffer_);
  bytes_read_ += end_;
  return end_ > 0;
}

bool JsonlReader::read_line(JsonlLine& line) {
  line = {.number = ++number_};
  bool any = false;
  for (;;) {
    if (begin_ == end_ && !fill()) return any;
    any = true;
    char const* const from = buffer_.data() + begin_;
    auto const* const end = static_cast<char const*>(std::memchr(from, '\n', end_ - begin_));
    std::size_t const length = end ? std::size_t(end - from) : end_ - begin_;
    std::size_t const room = max_line_bytes_ - line.text.size();
    line.too_long = line.too_long || length > room;
    line.text.append(from, std::min(length, room));
    begin_ += length + (end ? 1 : 0);
    line.bytes += length + (end ? 1 : 0);
    if (end) return true;
  }
}

}  // namespace windlass
