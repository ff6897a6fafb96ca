/// The three kinds of failure (style: errors): bad input, a failed operation, a broken invariant.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace windlass {

/// What the user gave is wrong. The message names the file, line, tensor or field and says what to do.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An operation on a file failed: `path`, what was tried and why (errno text).
class FileError : public std::runtime_error {
 public:
  FileError(std::string_view path, std::string_view operation, int error_number);
  using std::runtime_error::runtime_error;
};

/// Aborts the job with `message` and the place if `holds` is false. Always on: a broken invariant must not decode.
inline void ensure(bool holds, std::string_view message, std::source_location where = std::source_location::current());

namespace detail {
[[noreturn]] void invariant_broken(std::string_view message, std::source_location where);
}

inline void ensure(bool holds, std::string_view message, std::source_location where) {
  if (!holds) [[unlikely]]
    detail::invariant_broken(message, where);
}

}  // namespace windlass
