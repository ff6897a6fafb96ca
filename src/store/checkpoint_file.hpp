/// The files of a checkpoint, one at a time. Format: README.md. Without HDF5 in the build every function throws
/// InputError. One thread at a time calls these functions (PageReader excepted).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "src/store/checkpoint_data.hpp"
#include "src/store/locked_file.hpp"

namespace windlass {

bool checkpoints_supported();  ///< the build has HDF5

/// The beginning of every file (4096 bytes), before HDF5's: what a reader needs to trust the rest. No padding.
struct UserBlock {
  char magic[16] = {};
  std::uint64_t format = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t digest = 0;  ///< checksum of what is neither this block nor pages
  std::uint64_t groups = 0;
  struct Pages {
    std::uint64_t offset = 0, rows = 0, page_bytes = 0;
  } pages[max_layer_groups];
  std::uint64_t checksum = 0;  ///< of what precedes
};

/// Reads the block and compares file size and digest: a file that passes is whole but for its pages. Throws FileError
/// that says what is wrong.
UserBlock verified_user_block(std::string const& path);

/// Called after each batch of page bytes: may sleep; false ends the writing.
using Pace = std::function<bool(std::uint64_t bytes)>;

struct PartToWrite {
  std::string folder, name;
  std::vector<CheckpointGroup> groups;
  CheckpointContent const* content = nullptr;
  std::map<PageName, std::pair<std::string, PagePlace>> known;  ///< pages that lie in other files: not written again
  Pace pace;
};
struct WrittenPart {
  std::uint64_t digest = 0, bytes = 0, new_pages = 0, kept_pages = 0;
  SavedPart tables;  ///< pages and files alone
};

/// Writes FOLDER/NAME beside, syncs it and renames it. Nothing where `pace` ended it. Throws FileError; then nothing
/// is left behind.
std::optional<WrittenPart> write_part(PartToWrite const& part);
/// Throws FileError where the file is damaged or missing.
SavedPart read_part(std::string const& path);

/// Returns the file's bytes.
std::uint64_t write_master(std::string const& folder, std::string const& name, CheckpointMaster const& master);
/// Throws FileError where it is damaged; InputError where another version wrote it.
CheckpointMaster read_master(std::string const& path);

/// Reads pages of files in a folder. Local; uses no HDF5, so it may run beside a writer.
class PageReader {
 public:
  explicit PageReader(std::string folder) : folder_(std::move(folder)) {}
  enum class Result : unsigned char { ok, missing, damaged };
  /// Fills `page`, whose size is the group's page_bytes.
  Result read(std::string const& file, PagePlace const& place, PageName const& name, std::span<std::byte> page);

 private:
  struct Opened {
    std::unique_ptr<OpenFile> file;  ///< null: cannot be read
    UserBlock block;
  };
  Opened const& open(std::string const& name);

  std::string folder_;
  std::map<std::string, Opened> files_;
};

/// What a page's checksum is salted with, so that no other page passes for it.
std::uint64_t salt_of(PageName const& name);

}  // namespace windlass
