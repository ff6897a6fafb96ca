/// Failures of MPI calls. Only sources in mpi/ include it.
#pragma once

#include <stdexcept>
#include <string>

namespace windlass {

/// An MPI call failed: its name and MPI's own words.
class MpiError : public std::runtime_error {
 public:
  MpiError(std::string const& call, int code);
  int code() const { return code_; }

 private:
  int code_;
};

/// Throws MpiError unless `code` is MPI_SUCCESS. The communicator must return errors (MPI_ERRORS_RETURN).
void check_mpi(int code, char const* call);

}  // namespace windlass
