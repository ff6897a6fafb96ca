/// What a journal belongs to: the side file OUTPUT.windlass.json.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

struct JournalIdentity {
  std::string model_identity;  ///< 32 hexadecimal digits
  std::string model_path;      ///< for messages; a moved model is still the same
  std::string input_hash;      ///< 32 hexadecimal digits; empty: standard input
  std::uint64_t input_bytes = 0;
  std::map<std::string, std::string> options;  ///< what changes answers: name to value
  std::vector<std::string> arithmetic;         ///< ids, the latest last; never empty

  bool operator==(JournalIdentity const&) const = default;
};

struct JournalOwner {
  std::string host;
  std::int64_t pid = 0;  ///< 0: nobody
};

struct SideFile {
  JournalIdentity identity;
  JournalOwner owner;
};

std::string side_path(std::string const& output_path);

/// The JSON text of a side file.
std::string to_json(SideFile const& side);

/// Throws InputError naming `path` and the field that is missing or has the wrong type.
SideFile parse_side_file(std::string_view json, std::string const& path);

/// The side file of an output, or nothing where there is none. Throws FileError or InputError.
std::optional<SideFile> read_side_file(std::string const& output_path);

enum class ArithmeticRule : unsigned char { must_agree, may_differ };

/// Throws InputError that lists every difference between the `recorded` run and this one and says what to do.
void require_same(JournalIdentity const& recorded, JournalIdentity const& now, ArithmeticRule rule,
                  std::string const& output_path);

}  // namespace windlass
