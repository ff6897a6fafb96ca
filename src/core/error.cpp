#include "src/core/error.hpp"

#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "src/core/text.hpp"

namespace windlass {

FileError::FileError(std::string_view path, std::string_view operation, int error_number)
    : std::runtime_error(text(path, ": cannot ", operation, ": ", std::generic_category().message(error_number))) {}

namespace detail {
void invariant_broken(std::string_view message, std::source_location where) {
  std::fprintf(stderr, "windlass: internal error at %s:%u: %.*s\n", where.file_name(), unsigned(where.line()),
               int(message.size()), message.data());
  std::abort();
}
}  // namespace detail

}  // namespace windlass
