/// How far a batch is, in one line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/policy/layout.hpp"

namespace windlass {

/// What an instance of a job does now, and has done.
struct InstanceView {
  Role role = Role::mixed;
  std::vector<int> ranks;
  bool lost = false;
  std::int64_t running = 0, waiting = 0;    ///< sequences; requests without a place
  std::uint64_t pages = 0, free_pages = 0;  ///< of KV
  std::int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  double busy_seconds = 0;                          ///< in steps
  std::uint64_t kv_in_bytes = 0, kv_out_bytes = 0;  ///< handed over
};

struct BatchProgress {
  double seconds = 0;                   ///< since the first step of this run
  std::int64_t records = 0;             ///< safe on disk in this run
  std::int64_t skipped = 0;             ///< answered by earlier runs
  std::int64_t tokens = 0;              ///< prompt and generated, of this run
  std::uint64_t finished_bytes = 0;     ///< of the input: answered in this run
  std::uint64_t skipped_bytes = 0;      ///< of the input: answered by earlier runs
  std::optional<double> total_bytes;    ///< of the input; unknown for pipes
  std::vector<InstanceView> instances;  ///< of a job with several
};

/// From 0 to 1; nothing where the input's size is unknown.
std::optional<double> finished_share(BatchProgress const& progress);

/// "123 answered, 41 % of the input, 1520 tokens/s, about 2 min 5 s left"
std::string progress_text(BatchProgress const& progress);

/// A line for each instance: what it does, its tokens a second since `before` (the same instances `seconds` ago; none:
/// since the start). Of more than 16 the first ones, and how many more there are.
std::vector<std::string> instance_lines(std::vector<InstanceView> const& now, std::vector<InstanceView> const& before,
                                        double seconds);

/// The same behind a bar of `width` characters.
std::string progress_bar(BatchProgress const& progress, int width);

/// "2 h 5 min", "2 min 5 s", "5 s"
std::string duration_text(double seconds);

}  // namespace windlass
