/// The pages of a loaded checkpoint, for the engine.
#pragma once

#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "src/serve/checkpoint_counts.hpp"
#include "src/serve/whole_pages.hpp"
#include "src/store/checkpoint_folder.hpp"

namespace windlass {

using ArchivedBlocks = std::unordered_map<Hash128, SavedBlock>;

inline PageName name_of(int group, Hash128 name) { return {.group = std::uint32_t(group), .name = name}; }

/// What one request may take from. All of it outlives the archive.
struct ArchiveSource {
  CheckpointFolder& folder;
  std::span<CheckpointGroup const> groups;
  ArchivedBlocks const& blocks;
  WholePages* whole = nullptr;  ///< where the engine's pages are parts
  Hash128 request;              ///< its name
};

/// Counts what it reads. The engine's thread calls it.
class FolderArchive final : public PageArchive {
 public:
  FolderArchive(ArchiveSource const& source, CheckpointCounts& counts) : source_(source), counts_(counts) {}

  bool holds(Block const& block) const override;
  void read(std::span<Page> pages, ThreadTeam& team) override;

 private:
  bool is_known(Block const& block) const;
  std::optional<PageName> name_in_folder(Page const& page) const;
  struct Wanted {
    PageName name;
    Page* page = nullptr;
    PageReader::Result result = PageReader::Result::missing;
  };
  void read_whole(std::span<Wanted> wanted, ThreadTeam& team);
  void read_parts(std::span<Wanted> wanted, ThreadTeam& team);
  void count(Wanted const& read);

  ArchiveSource source_;
  CheckpointCounts& counts_;
};

}  // namespace windlass
