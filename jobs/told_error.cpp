#include "jobs/told_error.hpp"

#include <cstdio>
#include <new>

#include "jobs/exit_codes.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {

int tell(std::exception const& error) {
  bool const no_memory = dynamic_cast<std::bad_alloc const*>(&error) != nullptr;
  log_info(text("error: ", no_memory ? "out of memory: " : "", error.what()));
  std::fflush(stderr);
  return dynamic_cast<InputError const*>(&error) != nullptr ? exit_usage : exit_failed;
}

}  // namespace windlass
