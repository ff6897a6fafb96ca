/// Where the answers of a batch go: a journal, or standard output.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/batch_options.hpp"
#include "jobs/engine_setup.hpp"
#include "src/store/journal.hpp"

namespace windlass {

class BatchOutput {
 public:
  /// Opens and locks a journal; nothing is changed yet. Throws what Journal throws.
  explicit BatchOutput(BatchOptions const& options);

  /// The arithmetic of the run that is resumed.
  std::optional<std::string> recorded_arithmetic() const;
  /// Checks that this run goes with what is there, and starts writing. Reads the input file once, for its hash.
  void begin(BatchOptions const& options, EngineSetup const& setup);

  LineWriter& lines() { return journal_ ? journal_->writer() : *stream_; }
  KeySet const& finished() const { return journal_ ? journal_->finished() : nothing_; }
  std::vector<std::string> arithmetic() const { return arithmetic_; }

 private:
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<LineWriter> stream_;
  KeySet nothing_;
  std::vector<std::string> arithmetic_;
};

}  // namespace windlass
