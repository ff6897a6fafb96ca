/// Building messages from parts.
#pragma once

#include <sstream>
#include <string>

namespace windlass {

/// The parts, one after the other, as operator<< prints them.
template <class... Parts>
std::string text(Parts const&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

}  // namespace windlass
