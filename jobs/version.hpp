/// Which build this is.
#pragma once

namespace windlass {

char const* program_version();
char const* program_commit();  ///< of git when it was built, "-dirty" with changes; "unknown" outside a clone

}  // namespace windlass
