/// Server-sent events, read from a body that comes in pieces.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace windlass {

/// Lines end with "\n", "\r\n" or "\r", events with an empty line (WHATWG HTML, 9.2). Only `data` counts; several lines
/// of it are joined with "\n".
class EventReader {
 public:
  /// Calls `event` with the data of each event that is complete now.
  void take(std::string_view piece, std::function<void(std::string_view data)> const& event);

 private:
  void end_line(std::function<void(std::string_view data)> const& event);

  std::string line_, data_;
  bool has_data_ = false;
  bool after_return_ = false;  ///< a "\n" would belong to the line before
};

}  // namespace windlass
