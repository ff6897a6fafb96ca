#include "src/store/journal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"
#include "src/store/journal_recovery.hpp"

namespace windlass {
namespace {

JournalOwner this_process() {
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  return {.host = host, .pid = ::getpid()};
}

[[noreturn]] void refuse_second_job(std::string const& path) {
  std::string owner = "another process";
  try {
    if (auto const side = read_side_file(path); side && side->owner.pid != 0)
      owner = text("process ", side->owner.pid, " on host ", side->owner.host);
  } catch (std::exception const&) {  // the message is worth more than the reason why it cannot name the owner
  }
  throw JournalInUse(text(path, ": is being written by ", owner,
                          " (two jobs would answer every request twice); wait for "
                          "it to end, stop it, or name another --output"));
}

void lock(OpenFile const& file) {
  switch (try_lock(file)) {
    case LockResult::locked:
      return;
    case LockResult::held_by_another:
      refuse_second_job(file.path());
    case LockResult::not_supported:
      log_warning(text(file.path(), ": its file system has no locks; make sure that no second job writes it"));
      return;
  }
}

}  // namespace

Journal::Journal(JournalConfig config)
    : config_(std::move(config)),
      made_(::access(config_.path.c_str(), F_OK) != 0),
      file_(config_.path, O_RDWR | O_CREAT | O_APPEND) {
  if (!file_.regular()) throw InputError(text(config_.path, ": not a regular file; a journal needs one (or use '-')"));
  lock(file_);
  if (config_.existing == ExistingOutput::overwrite) return;
  if (auto side = read_side_file(config_.path)) {
    recorded_ = std::move(side->identity);
    identity_ = *recorded_;
    write_side_file();  // names this process as the owner
  } else if (file_.size_bytes() > 0) {
    throw InputError(text(config_.path, ": has content, but there is no ", side_path(config_.path),
                          " beside it, so it was not written by windlass batch; name another --output, or use "
                          "--overwrite to replace it"));
  }
}

Journal::~Journal() {
  if (made_ && !writer_) ::unlink(config_.path.c_str());  // it is empty; where it cannot be removed it does no harm
}

void Journal::begin(JournalIdentity identity) {
  ensure(!writer_, "a journal was begun twice");
  identity_ = std::move(identity);
  if (recorded_) {
    require_same(*recorded_, identity_, config_.arithmetic, config_.path);
    auto arithmetic = recorded_->arithmetic;
    if (arithmetic.back() != identity_.arithmetic.back()) arithmetic.push_back(identity_.arithmetic.back());
    identity_.arithmetic = std::move(arithmetic);
  } else {
    if (::unlink(side_path(config_.path).c_str()) != 0 && errno != ENOENT)
      throw FileError(side_path(config_.path), "remove", errno);
    file_.truncate(0);
  }
  write_side_file();
  RecoveredJournal recovered = recover_journal(file_);
  if (std::uint64_t const size = file_.size_bytes(); size > recovered.safe_bytes) {
    log_info(text(config_.path, ": cut ", size - recovered.safe_bytes, " bytes of a half-written answer"));
    file_.truncate(recovered.safe_bytes);
  }
  finished_ = std::move(recovered.keys);
  writer_ = std::make_unique<LineWriter>(LineWriterConfig{.descriptor = file_.descriptor(),
                                                          .path = config_.path,
                                                          .size_bytes = recovered.safe_bytes,
                                                          .commit_interval_us = config_.commit_interval_us});
}

void Journal::write_side_file() const {
  replace_file(side_path(config_.path), to_json({.identity = identity_, .owner = this_process()}));
}

}  // namespace windlass
