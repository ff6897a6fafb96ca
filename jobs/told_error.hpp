/// Errors that end the program: told once, and turned into the exit code.
#pragma once

#include <exception>

namespace windlass {

/// Prints `error: …` and returns the exit code that stands for it.
int tell(std::exception const& error);

/// An error that has been told already. A rank of a job tells it before it leaves MPI: others leave with it, and a
/// launcher that sees one end with an error ends the rest at once.
class ToldError : public std::exception {
 public:
  explicit ToldError(std::exception const& error) : exit_code_(tell(error)) {}
  char const* what() const noexcept override { return "told already"; }
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

}  // namespace windlass
