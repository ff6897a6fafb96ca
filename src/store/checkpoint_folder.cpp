#include "src/store/checkpoint_folder.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t spare_bytes = std::uint64_t{16} << 20;  ///< of a disk that a checkpoint leaves free
constexpr std::uint64_t no_limit = UINT64_MAX;
constexpr std::size_t probe_bytes = std::size_t{8} << 20;

std::string numbered(char const* kind, std::uint64_t number) {
  char name[64];
  std::snprintf(name, sizeof name, "%s-%08llu", kind, static_cast<unsigned long long>(number));
  return name;
}

/// The number in "checkpoint-00000012.h5"; nothing for other names.
std::optional<std::uint64_t> number_of(std::string const& name, std::string const& kind) {
  std::string const start = kind + "-";
  if (name.rfind(start, 0) != 0 || !name.ends_with(".h5")) return std::nullopt;
  std::uint64_t number = 0;
  std::size_t at = start.size();
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9'; ++at)
    number = 10 * number + std::uint64_t(name[at] - '0');
  return at == start.size() ? std::nullopt : std::optional(number);
}

std::vector<std::string> names_in(std::string const& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (auto const& entry : fs::directory_iterator(folder, failed)) names.push_back(entry.path().filename().string());
  if (failed) throw FileError(folder, "list the folder", failed.value());
  return names;
}

std::unique_ptr<OpenFile> lock_folder(std::string const& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw FileError(folder, "make the folder", failed.value());
  auto lock = std::make_unique<OpenFile>(folder + "/lock", O_RDWR | O_CREAT);
  switch (try_lock(*lock)) {
    case LockResult::locked:
      break;
    case LockResult::held_by_another:
      throw InputError(text(folder, ": another job writes its checkpoints there; name another --checkpoint folder"));
    case LockResult::not_supported:
      log_warning(text(folder, ": its file system has no locks; make sure that no second job uses it"));
  }
  return lock;
}

std::int64_t changed_unix_s(OpenFile const& file) {
  struct stat status {};
  return ::fstat(file.descriptor(), &status) == 0 && status.st_size > 0 ? std::int64_t(status.st_mtime) : 0;
}

std::uint64_t bytes_in(std::string const& folder) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (std::string const& name : names_in(folder))
    if (auto const size = fs::file_size(folder + "/" + name, ignored); !ignored) bytes += size;
  return bytes;
}

void check_digest(std::string const& path, std::uint64_t expected) {
  if (verified_user_block(path).digest != expected)
    throw FileError(text(path, ": not the file that the checkpoint means"));
}

/// What is not pages takes about this much.
std::uint64_t table_bytes_of(CheckpointContent const& content) {
  std::uint64_t bytes = 1 << 20;
  bytes += content.blocks.size() * (sizeof(SavedBlock) + 64) + content.pages.size() * 64;
  for (SavedRequest const& request : content.requests) {
    bytes += request.progress.size() + 256;
    for (SavedChoice const& choice : request.choices) bytes += choice.tokens.size() * sizeof(TokenId) + 64;
  }
  return bytes;
}

using Known = std::map<PageName, std::pair<std::string, PagePlace>>;

/// Pages of files of which less than half is still wanted are written again, so that such files can go.
void forget_thin_files(CheckpointContent const& content, Known& known) {
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> rows;  // wanted, all that are known
  for (auto const& [name, place] : known) ++rows[place.first].second;
  std::set<std::string> needed;
  for (PageToSave const& page : content.pages)
    if (auto const at = known.find(page.name); at != known.end()) {
      ++rows[at->second.first].first;
      if (!page.is_here()) needed.insert(at->second.first);
    }
  for (auto const& [file, counts] : rows) {
    if (2 * counts.first >= counts.second || needed.contains(file)) continue;
    std::erase_if(known, [&](auto const& entry) { return entry.second.first == file; });
  }
}

/// Drops the least important new pages until the rest fits into `room` bytes; returns how many.
std::uint64_t leave_out(CheckpointIdentity const& identity, Known const& known, std::uint64_t room,
                        CheckpointContent& content) {
  std::uint64_t left_out = 0;
  std::erase_if(content.pages, [&](PageToSave const& page) {
    if (known.contains(page.name)) return false;
    std::uint64_t const bytes = identity.groups[page.name.group].page_bytes;
    if (!page.is_here() || bytes > room) return ++left_out > 0;
    room -= bytes;
    return false;
  });
  return left_out;
}

}  // namespace

std::map<std::uint64_t, std::string> checkpoint_masters(std::string const& folder) {
  std::map<std::uint64_t, std::string> masters;
  for (std::string const& name : names_in(folder))
    if (auto const number = number_of(name, "checkpoint")) masters[*number] = name;
  return masters;
}

std::string part_name(std::uint64_t number, int rank) {
  char end[16];
  std::snprintf(end, sizeof end, "-%04d.h5", rank);
  return numbered("part", number) + end;
}

std::string differences(CheckpointIdentity const& saved, CheckpointIdentity const& now) {
  std::string lines;
  auto const compare = [&](char const* what, std::string const& before, std::string const& after) {
    if (before != after) lines += text("\n  ", what, ": was ", before, ", is ", after);
  };
  compare("model", saved.model, now.model);
  compare("tokenizer", saved.tokenizer, now.tokenizer);
  if (saved.arithmetic != now.arithmetic) return lines;  // which may change what follows
  compare("KV format", saved.kv_format, now.kv_format);
  if (lines.empty() && saved.groups != now.groups) lines = "\n  the layout of KV pages";
  return lines;
}

CheckpointFolder::CheckpointFolder(CheckpointFolderConfig config)
    : config_(std::move(config)), reader_(std::make_unique<PageReader>(config_.path)) {
  if (!checkpoints_supported())
    throw InputError("--checkpoint: this program was built without HDF5; build it with -DWINDLASS_HDF5=ON");
  if (config_.role == FolderRole::owner) {
    lock_ = lock_folder(config_.path);
    last_life_unix_s_ = changed_unix_s(*lock_);
    for (std::string const& name : names_in(config_.path))
      if (name.ends_with(".new")) ::unlink((config_.path + "/" + name).c_str());
  }
  for (std::string const& name : names_in(config_.path))
    for (char const* kind : {"checkpoint", "part"})
      if (auto const number = number_of(name, kind)) next_number_ = std::max(next_number_, *number + 1);
}

void CheckpointFolder::sign_of_life() const {
  if (!lock_) return;
  char const mark = '\n';
  if (::pwrite(lock_->descriptor(), &mark, 1, 0) != 1) log_warning_once(text(lock_->path(), ": cannot be written"));
}

std::optional<LoadedCheckpoint> CheckpointFolder::load(CheckpointIdentity const& identity, ArithmeticRule rule) {
  auto const all = checkpoint_masters(config_.path);
  std::optional<LoadedCheckpoint> best;
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    LoadedCheckpoint loaded;
    std::string const path = config_.path + "/" + at->second;
    try {
      loaded.master = read_master(path);
    } catch (FileError const& error) {
      log_warning(text("a checkpoint cannot be used: ", error.what()));
      continue;
    }
    if (std::string const lines = differences(loaded.master.identity, identity); !lines.empty())
      throw InputError(text(path, ": the checkpoint is of another run:", lines,
                            "\nname another --checkpoint folder, or remove this one"));
    if (loaded.master.identity.arithmetic != identity.arithmetic) {
      if (rule == ArithmeticRule::must_agree)
        throw InputError(text(path, ": the checkpoint was computed with ", loaded.master.identity.arithmetic,
                              ", this machine computes with ", identity.arithmetic,
                              "; name the recorded --backend, or --allow-different-arithmetic to compute it again"));
      log_warning(text(path, ": computed with other arithmetic, so nothing of it is used"));
      return std::nullopt;
    }
    for (std::size_t i = 0; i < loaded.master.parts.size(); ++i) {
      std::string const part = config_.path + "/" + loaded.master.parts[i];
      try {
        check_digest(part, loaded.master.part_digests[i]);
        loaded.parts.push_back(read_part(part));
      } catch (FileError const& error) {
        log_warning(text("a part of a checkpoint cannot be used: ", error.what()));
        ++loaded.lost_parts;
      }
    }
    bool const intact = loaded.lost_parts == 0;
    if (!loaded.parts.empty() && (intact || !best)) best = std::move(loaded);
    if (intact) break;
  }
  std::lock_guard const lock(mutex_);
  if (best)
    for (SavedPart const& part : best->parts)
      for (auto const& [name, place] : part.pages)
        if (place.file < part.files.size()) known_.try_emplace(name, part.files[place.file], place);
  return best;
}

void CheckpointFolder::read(std::span<PageToRead> pages, ThreadTeam& team) {
  std::vector<PageReader::Wanted> wanted;
  std::vector<std::size_t> places;  // [wanted] in `pages`
  {
    std::lock_guard const lock(mutex_);
    for (std::size_t i = 0; i < pages.size(); ++i) {
      pages[i].result = PageReader::Result::missing;
      auto const at = known_.find(pages[i].name);
      if (at == known_.end()) continue;
      places.push_back(i);
      wanted.push_back(
          {.file = at->second.first, .place = at->second.second, .name = pages[i].name, .bytes = pages[i].bytes});
    }
  }
  reader_->read(wanted, team);
  std::lock_guard const lock(mutex_);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    pages[places[i]].result = wanted[i].result;
    if (wanted[i].result != PageReader::Result::ok) known_.erase(wanted[i].name);  // it must be written again
  }
}

bool CheckpointFolder::has(PageName const& name) const {
  std::lock_guard const lock(mutex_);
  return known_.contains(name);
}

CheckpointFolder::Known CheckpointFolder::known() const {
  std::lock_guard const lock(mutex_);
  return known_;
}

std::uint64_t CheckpointFolder::bytes_allowed(std::uint64_t table_bytes) const {
  std::uint64_t allowed = no_limit;
  struct statvfs disk {};
  if (::statvfs(config_.path.c_str(), &disk) == 0 && disk.f_blocks > 0) {
    std::uint64_t const free = std::uint64_t(disk.f_bavail) * disk.f_frsize;
    allowed = free > spare_bytes ? free - spare_bytes : 0;
  }
  struct rlimit file_limit {};
  if (::getrlimit(RLIMIT_FSIZE, &file_limit) == 0 && file_limit.rlim_cur != RLIM_INFINITY)
    allowed = std::min<std::uint64_t>(allowed, file_limit.rlim_cur);
  if (config_.max_bytes > 0) {
    std::uint64_t const used = bytes_in(config_.path);
    allowed = std::min(allowed, config_.max_bytes > used ? config_.max_bytes - used : 0);
  }
  if (allowed < table_bytes)
    throw FileError(text(config_.path, ": no room for a checkpoint (", allowed >> 20, " MiB may be written, ",
                         (table_bytes >> 20) + 1, " are needed at least); free some, or raise --checkpoint-size"));
  return allowed - table_bytes;
}

std::optional<StoredPart> CheckpointFolder::write(std::uint64_t number, CheckpointIdentity const& identity,
                                                  CheckpointContent& content, WriteManner const& manner) {
  next_number_ = std::max(next_number_, number + 1);
  Known pages = known();
  forget_thin_files(content, pages);
  std::string const name = part_name(number, config_.rank);
  std::uint64_t const left_out =
      leave_out(identity, pages, std::min(content.most_new_bytes, bytes_allowed(table_bytes_of(content))), content);
  auto written = write_part({.folder = config_.path,
                             .name = name,
                             .groups = identity.groups,
                             .content = &content,
                             .known = std::move(pages),
                             .manner = manner});
  if (!written) return std::nullopt;
  std::lock_guard const lock(mutex_);
  known_.clear();
  for (auto const& [page, place] : written->tables.pages)
    known_.try_emplace(page, written->tables.files[place.file], place);
  return StoredPart{.name = name, .written = std::move(*written), .left_out_pages = left_out};
}

double CheckpointFolder::measured_write_bytes_per_us() {
  if (write_bytes_per_us_ > 0) return write_bytes_per_us_;
  std::string const path = config_.path + "/" + text("probe-", config_.rank, ".new");
  std::string const bytes(probe_bytes, '\x5a');
  Microseconds const begun = now_us();
  try {
    OpenFile const file(path, O_WRONLY | O_CREAT | O_TRUNC);
    file.write_all(bytes);
    if (::fsync(file.descriptor()) != 0) throw FileError(path, "sync", errno);
    write_bytes_per_us_ = double(probe_bytes) / double(std::max<Microseconds>(1, now_us() - begun));
  } catch (FileError const& error) {
    log_warning(error.what());
    write_bytes_per_us_ = 1;  // so that there is time enough where nothing is known
  }
  ::unlink(path.c_str());
  return write_bytes_per_us_;
}

std::set<std::string> CheckpointFolder::referenced_files(std::string const& master_name) const {
  std::set<std::string> files;
  for (std::string const& part : read_master(config_.path + "/" + master_name).parts) {
    files.insert(part);
    std::error_code ignored;
    if (!fs::exists(config_.path + "/" + part, ignored)) continue;
    for (std::string const& file : read_part(config_.path + "/" + part).files) files.insert(file);
  }
  return files;
}

void CheckpointFolder::publish(CheckpointMaster const& master) {
  write_master(config_.path, numbered("checkpoint", master.number) + ".h5", master);
  auto all = checkpoint_masters(config_.path);
  std::set<std::string> wanted;
  int kept = 0;
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (kept == config_.keep) break;
    try {
      wanted.merge(referenced_files(at->second));
      wanted.insert(at->second);
      ++kept;
    } catch (FileError const& error) {  // a damaged one is of no use to anybody
      log_warning(text("a checkpoint is removed: ", error.what()));
    }
  }
  clean_up(wanted);
}

void CheckpointFolder::clean_up(std::set<std::string> const& wanted) const {
  for (std::string const& name : names_in(config_.path)) {
    if (wanted.contains(name) || !name.ends_with(".h5")) continue;
    if (!number_of(name, "checkpoint") && !number_of(name, "part")) continue;
    ::unlink((config_.path + "/" + name).c_str());  // what cannot be removed costs room alone
  }
}

}  // namespace windlass
