/// From a batch's journal to the two files that its user gets.
#pragma once

#include <cstdint>
#include <string>

namespace windlass {

struct SplitJournal {
  std::int64_t answered = 0, failed = 0;
};

struct ResultPaths {
  std::string answers, errors;
};

/// Copies the records of a journal: those with an answer of status 200 here, the others there. Both files are on disk
/// when this returns. Throws FileError.
SplitJournal split_journal(std::string const& journal, ResultPaths const& to);

struct BatchLines {
  std::int64_t count = 0;
  std::int64_t wrong_line = 0;  ///< the first whose url is another endpoint's; 0: none
  std::string wrong_url;
};

/// Looks through a batch's input. Throws FileError, InputError.
BatchLines look_through(std::string const& input, std::string const& endpoint);

}  // namespace windlass
