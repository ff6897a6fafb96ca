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

#include "src/core/thread_team.hpp"
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

struct WriteManner {
  /// Called after each page, by one thread at a time: may sleep; false ends the writing.
  std::function<bool(std::uint64_t bytes)> pace = {};
  int threads = 1;  ///< that write; 1 where pages are fetched
  /// Gives the bytes of the first of these pages, which stay until the next call; returns of how many, 0 to end.
  std::function<std::size_t(std::span<PageToSave> pages)> fetch = {};
};

struct PartToWrite {
  std::string folder, name;
  std::vector<CheckpointGroup> groups;
  CheckpointContent const* content = nullptr;
  std::map<PageName, std::pair<std::string, PagePlace>> known;  ///< pages that lie in other files: not written again
  WriteManner manner;
};
struct WrittenPart {
  std::uint64_t digest = 0, bytes = 0, new_pages = 0, kept_pages = 0;
  SavedPart tables;  ///< pages and files alone
};

/// Writes FOLDER/NAME beside, syncs it and renames it. Nothing where the pace ended it. Throws FileError; then nothing
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
  explicit PageReader(std::string folder);
  ~PageReader();
  enum class Result : unsigned char { ok, missing, damaged };
  /// Fills `page`, whose size is the group's page_bytes.
  Result read(std::string const& file, PagePlace const& place, PageName const& name, std::span<std::byte> page);

  struct Wanted {
    std::string file;
    PagePlace place;
    PageName name;
    std::span<std::byte> bytes;  ///< [page_bytes of the group]
    Result result = Result::missing;
  };
  /// Fills all of them, in the order in which they lie in the files, on the team's threads: what is not in the page
  /// cache past it, since a copy there would cost more time than the disk.
  void read(std::span<Wanted> pages, ThreadTeam& team);

 private:
  struct Opened {
    std::unique_ptr<OpenFile> file;    ///< null: cannot be read
    std::unique_ptr<OpenFile> direct;  ///< the same past the page cache; null where the file system has no such thing
    UserBlock block;
  };
  using Run = std::span<Wanted* const>;  ///< of pages that follow each other in a file
  Opened const& open(std::string const& name);
  static bool lies_in(UserBlock const& block, Wanted const& page);
  static std::uint64_t offset_of(UserBlock const& block, Wanted const& page);
  static bool follows(Wanted const& before, Wanted const& page);
  static void read_buffered(Opened const& opened, Wanted& page);
  static bool read_directly(Opened const& opened, Run run);

  std::string folder_;
  std::map<std::string, Opened> files_;
};

/// What a page's checksum is salted with, so that no other page passes for it.
std::uint64_t salt_of(PageName const& name);

}  // namespace windlass
