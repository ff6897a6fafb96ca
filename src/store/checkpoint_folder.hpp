/// A folder of checkpoints: which one to go on from, which pages need not be written again, which files may go.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/store/checkpoint_file.hpp"
#include "src/store/journal_identity.hpp"
#include "src/store/locked_file.hpp"

namespace windlass {

enum class FolderRole : unsigned char {
  owner,  ///< locks the folder, publishes checkpoints, removes old ones: one process of a job
  member  ///< writes its part into an owner's folder, or only reads
};

struct CheckpointFolderConfig {
  std::string path;
  FolderRole role = FolderRole::owner;
  int rank = 0;                 ///< names this process's part
  int keep = 2;                 ///< checkpoints, at least 1
  std::uint64_t max_bytes = 0;  ///< of all files together; 0: as many as fit
};

struct LoadedCheckpoint {
  CheckpointMaster master;
  std::vector<SavedPart> parts;  ///< the intact ones
  std::size_t lost_parts = 0;    ///< damaged or missing: what they held is computed again
};

/// A part that is on disk, and what room did not allow.
struct StoredPart {
  std::string name;
  WrittenPart written;
  std::uint64_t left_out_pages = 0;
};

/// Local. One thread at a time calls load(), write() and publish(); read() and has() may run beside them.
class CheckpointFolder {
 public:
  /// The owner makes the folder, locks it and removes half-written files. Throws InputError where another job has it or
  /// the build has no HDF5, FileError where it cannot be used.
  explicit CheckpointFolder(CheckpointFolderConfig config);

  /// The newest checkpoint whose files are intact; where none is, the newest that has intact parts; nothing where there
  /// is none. Damaged ones are told as warnings. Throws InputError where it is of another model, tokenizer, KV format
  /// or format, naming the difference. Another arithmetic gives nothing, if the rule allows it.
  std::optional<LoadedCheckpoint> load(CheckpointIdentity const& identity, ArithmeticRule rule);

  /// Writes this rank's part of checkpoint `number`: pages that lie in files of earlier ones are not written again.
  /// `content`'s pages that are not here must be such. Nothing where the pace ended it. Throws FileError.
  std::optional<StoredPart> write(std::uint64_t number, CheckpointIdentity const& identity, CheckpointContent& content,
                                  WriteManner const& manner);
  /// The owner: makes a checkpoint of parts that are on disk the newest one, and removes what no kept one needs.
  void publish(CheckpointMaster const& master);

  std::uint64_t next_number() const { return next_number_; }
  /// Whether a page lies in a file that can still be referred to.
  bool has(PageName const& name) const;
  struct PageToRead {
    PageName name;
    std::span<std::byte> bytes;  ///< [page_bytes of the group]
    PageReader::Result result = PageReader::Result::missing;
  };
  /// Fills them on the team's threads.
  void read(std::span<PageToRead> pages, ThreadTeam& team);
  /// Of 8 MiB with a sync, once; 1 MB/s where it fails.
  double measured_write_bytes_per_us();
  std::string const& path() const { return config_.path; }
  /// Says that the job lives, for the account of lost time; and when it last did so before this run.
  void sign_of_life() const;
  std::int64_t last_sign_of_life_unix_s() const { return last_life_unix_s_; }

 private:
  using Known = std::map<PageName, std::pair<std::string, PagePlace>>;
  std::uint64_t bytes_allowed(std::uint64_t table_bytes) const;
  Known known() const;
  void clean_up(std::set<std::string> const& wanted) const;
  std::set<std::string> referenced_files(std::string const& master_name) const;
  std::map<std::uint64_t, std::string> masters() const;  ///< number to file name

  CheckpointFolderConfig config_;
  std::unique_ptr<OpenFile> lock_;
  mutable std::mutex mutex_;
  Known known_;                         // under the mutex
  std::unique_ptr<PageReader> reader_;  // of read() alone
  std::uint64_t next_number_ = 1;
  double write_bytes_per_us_ = 0;
  std::int64_t last_life_unix_s_ = 0;
};

/// The file name of a rank's part.
std::string part_name(std::uint64_t number, int rank);

/// The masters of a folder, oldest first: number and file name. Throws FileError.
std::map<std::uint64_t, std::string> checkpoint_masters(std::string const& folder);

/// Lines that name each difference but that of arithmetic, under which KV formats are not compared; else empty.
std::string differences(CheckpointIdentity const& saved, CheckpointIdentity const& now);

}  // namespace windlass
