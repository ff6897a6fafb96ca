#include "src/store/line_writer.hpp"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "src/core/error.hpp"
#include "src/store/locked_file.hpp"

namespace windlass {

LineWriter::LineWriter(LineWriterConfig config)
    : config_(std::move(config)), safe_bytes_(config_.size_bytes), thread_([this] { write_loop(); }) {}

LineWriter::~LineWriter() { stop(); }

std::uint64_t LineWriter::append(std::string const& line) {
  ensure(line.find('\n') == std::string::npos, "a record of the journal holds a line end");
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return pending_.size() < config_.queue_bytes || !failure_.empty(); });
  if (!failure_.empty()) throw FileError(failure_);
  ensure(!closing_, "a line was appended to a closed journal");
  pending_ += line;
  pending_ += '\n';
  ++pending_lines_;
  more_.notify_one();
  return ++appended_;
}

std::uint64_t LineWriter::durable() const {
  std::lock_guard const lock(mutex_);
  return durable_;
}

std::string LineWriter::failure() const {
  std::lock_guard const lock(mutex_);
  return failure_;
}

void LineWriter::stop() {
  {
    std::lock_guard const lock(mutex_);
    closing_ = true;
  }
  more_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LineWriter::close() {
  stop();
  if (!failure_.empty()) throw FileError(failure_);
}

/// Each round takes all lines that have gathered. Rounds on a file begin at least a commit interval apart, so a lone
/// line is synced at once and a stream of them once per interval.
void LineWriter::write_loop() {
  Microseconds next_commit_us = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    more_.wait(lock, [&] { return pending_lines_ > 0 || closing_; });
    if (config_.target == LineWriterConfig::Target::file && !closing_) {
      auto const wait = std::chrono::microseconds(next_commit_us - now_us());
      more_.wait_for(lock, wait, [&] { return closing_ || pending_.size() >= config_.queue_bytes / 2; });
    }
    if (pending_lines_ == 0) return;
    std::string const batch = std::exchange(pending_, {});
    std::uint64_t const lines = std::exchange(pending_lines_, 0);
    next_commit_us = now_us() + config_.commit_interval_us;
    room_.notify_all();
    lock.unlock();
    bool const written = commit(batch, lines);
    lock.lock();
    if (!written) return;
  }
}

bool LineWriter::commit(std::string const& batch, std::uint64_t lines) {
  std::string problem;
  bool const file = config_.target == LineWriterConfig::Target::file;
  try {
    write_all(config_.descriptor, config_.path, batch);
    if (file && ::fdatasync(config_.descriptor) != 0) throw FileError(config_.path, "sync", errno);
  } catch (FileError const& error) {
    problem = error.what();
    if (file && ::ftruncate(config_.descriptor, off_t(safe_bytes_)) != 0)
      problem += " (and its last, half-written line could not be cut off; the next run does that)";
  }
  std::lock_guard const lock(mutex_);
  failure_ = problem;
  if (!problem.empty()) {
    room_.notify_all();
    return false;
  }
  durable_ += lines;
  safe_bytes_ += batch.size();
  return true;
}

}  // namespace windlass
