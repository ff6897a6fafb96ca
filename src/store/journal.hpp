/// The results journal: the output file of a batch, from which a later run goes on. Format: README.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

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

/// Local. Opening locks the file and changes none of its bytes; begin() does, so that a mistake elsewhere in the
/// command line costs nothing.
class Journal {
 public:
  /// Opens (or makes) and locks the file. Throws InputError where another job has it or it is not a journal, FileError
  /// where it cannot be opened.
  explicit Journal(JournalConfig config);

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
  OpenFile file_;
  std::optional<JournalIdentity> recorded_;
  JournalIdentity identity_;
  KeySet finished_;
  std::unique_ptr<LineWriter> writer_;
};

}  // namespace windlass
