/// What a rank other than 0 does in `windlass batch`.
#pragma once

#include "jobs/batch_options.hpp"
#include "mpi/job.hpp"
#include "mpi/process_watch.hpp"

namespace windlass {

/// From the layout to the end that rank 0 tells. Rank 0 says what is wrong; returns the exit code.
int run_batch_worker(BatchOptions const& options, MpiJob const& job, ProcessWatch& watch);

}  // namespace windlass
