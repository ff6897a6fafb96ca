/// The end of a process whose MPI may never come to one.
#pragma once

#include <string_view>

namespace windlass {

/// Ends the process at once, without destructors and without MPI_Finalize, which would wait for dead ranks. `why`,
/// where there is one, is told first.
[[noreturn]] void leave(int exit_code, std::string_view why = {});

}  // namespace windlass
