/// Files that users have uploaded, and those that batches made for them. Format: README.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/store/locked_file.hpp"

namespace windlass {

struct StoredFile {
  std::string id;  ///< "file-" and 32 hexadecimal digits
  std::string user, name, purpose;
  std::uint64_t bytes = 0;
  std::int64_t created_s = 0;  ///< seconds since 1970
};

struct FileStoreConfig {
  std::string folder;  ///< made where it is not there, for its owner alone
  std::uint64_t max_user_bytes = std::uint64_t{1} << 30;
  std::size_t max_user_files = 10'000;
};

/// Safe from any thread. Nobody sees another user's files.
class FileStore {
 public:
  /// Reads what is there. Throws InputError where another server has the folder, FileError.
  explicit FileStore(FileStoreConfig config);

  std::string const& folder() const { return config_.folder; }
  /// On disk when this returns. `file.id` is made where it is empty. Throws ApiError where the user has too much
  /// already, FileError.
  StoredFile add(StoredFile file, std::string_view content);
  /// Takes a finished file of this folder over, whatever the user has already; the same id again replaces it.
  StoredFile adopt(StoredFile file, std::string const& path);
  std::vector<StoredFile> list(std::string const& user) const;  ///< oldest first
  std::optional<StoredFile> find(std::string const& user, std::string const& id) const;
  bool remove(std::string const& user, std::string const& id);
  /// Where the content of a file is.
  std::string content_path(std::string const& id) const { return config_.folder + "/" + id + ".data"; }

 private:
  void read_folder();
  void read_entry(std::string const& name);
  void enter(StoredFile const& file);
  void require_room(std::string const& user, std::uint64_t bytes) const;
  std::string entry_path(std::string const& id) const { return config_.folder + "/" + id + ".json"; }

  FileStoreConfig const config_;
  std::unique_ptr<OpenFile> lock_;
  mutable std::mutex mutex_;
  std::map<std::string, StoredFile> files_;  ///< by id
};

/// `prefix` and 32 random hexadecimal digits.
std::string random_id(std::string const& prefix);

}  // namespace windlass
