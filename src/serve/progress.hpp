/// How far a batch is, in one line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace windlass {

struct BatchProgress {
  double seconds = 0;                 ///< since the first step of this run
  std::int64_t records = 0;           ///< safe on disk in this run
  std::int64_t skipped = 0;           ///< answered by earlier runs
  std::int64_t tokens = 0;            ///< prompt and generated, of this run
  std::uint64_t finished_bytes = 0;   ///< of the input: answered in this run
  std::uint64_t skipped_bytes = 0;    ///< of the input: answered by earlier runs
  std::optional<double> total_bytes;  ///< of the input; unknown for pipes
};

/// From 0 to 1; nothing where the input's size is unknown.
std::optional<double> finished_share(BatchProgress const& progress);

/// "123 answered, 41 % of the input, 1520 tokens/s, about 2 min 5 s left"
std::string progress_text(BatchProgress const& progress);

/// The same behind a bar of `width` characters.
std::string progress_bar(BatchProgress const& progress, int width);

/// "2 h 5 min", "2 min 5 s", "5 s"
std::string duration_text(double seconds);

}  // namespace windlass
