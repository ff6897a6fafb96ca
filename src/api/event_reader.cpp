#include "src/api/event_reader.hpp"

#include <utility>

namespace windlass {

void EventReader::take(std::string_view piece, std::function<void(std::string_view data)> const& event) {
  while (!piece.empty()) {
    if (std::exchange(after_return_, false) && piece.front() == '\n') {
      piece.remove_prefix(1);
      continue;
    }
    std::size_t const end = piece.find_first_of("\r\n");
    line_ += piece.substr(0, end);
    if (end == std::string_view::npos) return;
    after_return_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    end_line(event);
  }
}

void EventReader::end_line(std::function<void(std::string_view data)> const& event) {
  std::string const line = std::exchange(line_, {});
  if (line.empty()) {
    if (std::exchange(has_data_, false)) event(std::exchange(data_, {}));
    return;
  }
  constexpr std::string_view name = "data:";
  if (!line.starts_with(name)) return;  // a comment, or another field
  std::string_view value = std::string_view(line).substr(name.size());
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
}

}  // namespace windlass
