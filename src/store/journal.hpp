/// The results journal: the output file of a batch, from which a later run goes on. Format: README.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "src/core/error.hpp"
#include "src/store/journal_identity.hpp"
#include "src/store/key_set.hpp"
#include "src/store/line_writer.hpp"
#include "src/store/locked_file.hpp"

namespace windlass {

enum class ExistingOutput : unsigned char { resume, overwrite };

struct JournalConfig {
  std::string path;
  ExistingOutput existing = ExistingOutput::resume;
  ArithmeticRule arithmetic = ArithmeticRule::must_agree;
  Microseconds commit_interval_us = 200'000;
};

/// Another job writes the file.
class JournalInUse : public InputError {
 public:
  using InputError::InputError;
};

/// Local. Opening locks the file and changes none of its bytes; begin() does, so that a mistake elsewhere in the
/// command line costs nothing.
class Journal {
 public:
  /// Opens (or makes) and locks the file. Throws JournalInUse where another job has it, InputError where it is not a
  /// journal, FileError where it cannot be opened.
  explicit Journal(JournalConfig config);
  /// Removes a file that it made and never began.
  ~Journal();
  Journal(Journal const&) = delete;
  Journal& operator=(Journal const&) = delete;

  /// What the run that began this file recorded; nothing where there is none or it will be overwritten.
  std::optional<JournalIdentity> const& recorded() const { return recorded_; }

  /// Compares `identity` with what is recorded (InputError), cuts a half-written end, reads the finished keys, writes
  /// the side file, and starts the writer.
  void begin(JournalIdentity identity);

  /// Keys of the records that were there at begin().
  KeySet const& finished() const { return finished_; }
  /// Valid from begin() on.
  LineWriter& writer() { return *writer_; }
  JournalIdentity const& identity() const { return identity_; }

 private:
  void write_side_file() const;

  JournalConfig const config_;
  bool const made_;  ///< the file was not there before
  OpenFile file_;
  std::optional<JournalIdentity> recorded_;
  JournalIdentity identity_;
  KeySet finished_;
  std::unique_ptr<LineWriter> writer_;
};

}  // namespace windlass
