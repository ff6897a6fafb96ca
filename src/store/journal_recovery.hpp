/// Reading a journal back after a stop of any kind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "src/core/hash.hpp"
#include "src/store/key_set.hpp"

namespace windlass {

class OpenFile;

struct RecoveredJournal {
  KeySet keys;                   ///< of the finished records
  std::uint64_t safe_bytes = 0;  ///< the file's whole records end here; what follows is to be cut
  std::uint64_t records = 0;
};

/// Reads the file once, in parts: memory holds the keys and 1 MiB. Throws FileError, or InputError naming the line that
/// is not a record.
RecoveredJournal recover_journal(OpenFile const& file);

/// The id that a record with this key has: "batch_req_" and 32 hexadecimal digits.
std::string record_id(Hash128 key);
/// Its inverse; nothing where `id` is not of that form.
std::optional<Hash128> key_of_record_id(std::string_view id);

}  // namespace windlass
