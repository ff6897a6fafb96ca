/// Messages to people, on standard error: `windlass: text`. Whole lines, safe from any thread.
#pragma once

#include <string_view>

namespace windlass {

void log_info(std::string_view message);
void log_warning(std::string_view message);
/// The same warning is printed once per process, however often it is given.
void log_warning_once(std::string_view message);

}  // namespace windlass
