# Writes OUTPUT, which defines program_version() and program_commit(). SOURCE: the root of the tree; VERSION.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[
#include "jobs/version.hpp"

namespace windlass {
char const* program_version() { return "@VERSION@"; }
char const* program_commit() { return "@commit@"; }
}  // namespace windlass
]] @ONLY)
