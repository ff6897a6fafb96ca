#include "jobs/leave.hpp"

#include <unistd.h>

#include <cstdio>

#include "src/core/log.hpp"

namespace windlass {

void leave(int exit_code, std::string_view why) {
  if (!why.empty()) log_warning(why);
  std::fflush(nullptr);
  ::_exit(exit_code);
}

}  // namespace windlass
