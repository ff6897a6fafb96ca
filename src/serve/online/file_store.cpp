#include "src/serve/online/file_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <random>

#include "src/core/error.hpp"
#include "src/core/hash.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/json_text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::string_view file_prefix = "file-", entry_ending = ".json", content_ending = ".data";

std::string entry_json(StoredFile const& file) {
  JsonText out;
  out.begin_object().member("id", file.id).member("user", file.user).member("name", file.name);
  out.member("purpose", file.purpose).member("bytes", file.bytes).member("created_at", file.created_s).end_object();
  return out.take() + "\n";
}

StoredFile parse_entry(std::string const& content) {
  json::value const parsed = json::parse(content);
  auto const word = [&](char const* name) { return json::value_to<std::string>(parsed.at(name)); };
  return {.id = word("id"),
          .user = word("user"),
          .name = word("name"),
          .purpose = word("purpose"),
          .bytes = parsed.at("bytes").to_number<std::uint64_t>(),
          .created_s = parsed.at("created_at").to_number<std::int64_t>()};
}

void make_folder(std::string const& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw FileError(folder, "make the folder of files", errno);
  std::error_code failed;
  if (!fs::is_directory(folder, failed)) throw InputError(text("--files-folder ", folder, " is no folder"));
}

}  // namespace

std::string random_id(std::string const& prefix) {
  std::random_device device;
  auto const word = [&device] { return (std::uint64_t(device()) << 32) | device(); };
  return prefix + to_hex(Hash128{.low = word(), .high = word()});
}

FileStore::FileStore(FileStoreConfig config) : config_(std::move(config)) {
  make_folder(config_.folder);
  lock_ = std::make_unique<OpenFile>(config_.folder + "/lock", O_RDWR | O_CREAT);
  if (try_lock(*lock_) == LockResult::held_by_another)
    throw InputError(text("--files-folder ", config_.folder, ": another server uses it; give each its own"));
  read_folder();
}

/// Contents without an entry are what an unfinished upload left.
void FileStore::read_folder() {
  std::vector<std::string> contents;
  for (auto const& entry : fs::directory_iterator(config_.folder)) {
    std::string const name = entry.path().filename().string();
    if (!name.starts_with(file_prefix)) continue;
    if (name.ends_with(entry_ending)) read_entry(name);
    if (name.ends_with(content_ending)) contents.push_back(name.substr(0, name.size() - content_ending.size()));
  }
  for (std::string const& id : contents)
    if (!files_.contains(id)) ::unlink(content_path(id).c_str());
}

void FileStore::read_entry(std::string const& name) {
  std::string const path = config_.folder + "/" + name;
  try {
    StoredFile file = parse_entry(read_small_file(path).value_or(""));
    if (file.id + std::string(entry_ending) == name && fs::exists(content_path(file.id))) files_.emplace(file.id, file);
  } catch (std::exception const& error) {
    log_warning(text(path, " is no entry of a file, and is passed over: ", error.what()));
  }
}

void FileStore::require_room(std::string const& user, std::uint64_t bytes) const {
  std::uint64_t held = 0;
  std::size_t count = 0;
  for (auto const& [id, file] : files_) {
    if (file.user != user) continue;
    held += file.bytes;
    ++count;
  }
  if (held + bytes <= config_.max_user_bytes && count < config_.max_user_files) return;
  throw ApiError({.message = text("your files have ", held, " bytes, and ", config_.max_user_bytes,
                                  " are allowed; delete some (DELETE /v1/files/ID)"),
                  .param = "file",
                  .code = "storage_full"});
}

void FileStore::enter(StoredFile const& file) {
  replace_file(entry_path(file.id), entry_json(file));
  files_[file.id] = file;
}

StoredFile FileStore::add(StoredFile file, std::string_view content) {
  file.id = random_id(std::string(file_prefix));
  file.bytes = content.size();
  file.created_s = std::int64_t(std::time(nullptr));
  std::lock_guard const lock(mutex_);
  require_room(file.user, file.bytes);
  replace_file(content_path(file.id), content);
  enter(file);
  return file;
}

StoredFile FileStore::adopt(StoredFile file, std::string const& path) {
  file.bytes = fs::file_size(path);
  file.created_s = std::int64_t(std::time(nullptr));
  std::lock_guard const lock(mutex_);
  if (::rename(path.c_str(), content_path(file.id).c_str()) != 0) throw FileError(path, "rename", errno);
  enter(file);
  return file;
}

std::vector<StoredFile> FileStore::list(std::string const& user) const {
  std::vector<StoredFile> found;
  {
    std::lock_guard const lock(mutex_);
    for (auto const& [id, file] : files_)
      if (file.user == user) found.push_back(file);
  }
  std::ranges::stable_sort(found, {}, &StoredFile::created_s);
  return found;
}

std::optional<StoredFile> FileStore::find(std::string const& user, std::string const& id) const {
  std::lock_guard const lock(mutex_);
  auto const at = files_.find(id);
  if (at == files_.end() || at->second.user != user) return std::nullopt;
  return at->second;
}

bool FileStore::remove(std::string const& user, std::string const& id) {
  std::lock_guard const lock(mutex_);
  auto const at = files_.find(id);
  if (at == files_.end() || at->second.user != user) return false;
  ::unlink(entry_path(id).c_str());
  ::unlink(content_path(id).c_str());
  files_.erase(at);
  return true;
}

}  // namespace windlass
