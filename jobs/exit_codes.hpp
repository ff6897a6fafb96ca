/// What the program's end tells a script.
#pragma once

namespace windlass {

constexpr int exit_done = 0;
constexpr int exit_failed = 1;  ///< the run failed: disk, memory, machine
constexpr int exit_usage = 2;   ///< the command line or what it names is wrong
constexpr int exit_again = 75;  ///< work remains: start again with the same command (EX_TEMPFAIL of sysexits.h)

}  // namespace windlass
