#include "mpi/mpi_error.hpp"

#include <mpi.h>

namespace windlass {
namespace {

std::string words_of(int code) {
  char words[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(code, words, &length) != MPI_SUCCESS) return "error " + std::to_string(code);
  return {words, std::size_t(length)};
}

}  // namespace

MpiError::MpiError(std::string const& call, int code)
    : std::runtime_error(call + " failed: " + words_of(code)), code_(code) {}

void check_mpi(int code, char const* call) {
  if (code != MPI_SUCCESS) throw MpiError(call, code);
}

}  // namespace windlass
