/// Small files that are replaced as a whole: a reader, or a later run after a crash, sees the old or the new one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace windlass {

/// Writes `content` beside `path`, syncs it, renames it over `path` and syncs the folder. Throws FileError.
void replace_file(std::string const& path, std::string_view content);

/// The whole file, or nothing where there is none. Throws FileError.
std::optional<std::string> read_small_file(std::string const& path);

/// Makes the folder's entry of `path` last through a power failure. Throws FileError.
void sync_folder_of(std::string const& path);

}  // namespace windlass
