/// Appends whole lines to a file from its own thread, with group commit.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "src/core/clock.hpp"

namespace windlass {

struct LineWriterConfig {
  int descriptor = -1;  ///< not owned; must outlive the writer
  std::string path;     ///< for messages
  enum class Target : unsigned char {
    file,   ///< lines count when synced; a failed write is cut off again
    stream  ///< a pipe or terminal: lines count when written
  } target = Target::file;
  std::uint64_t size_bytes = 0;                     ///< of the file so far: where it is cut to if a write fails
  Microseconds commit_interval_us = 200'000;        ///< between two fdatasync calls, at least
  std::size_t queue_bytes = std::size_t{32} << 20;  ///< append() waits while more than this is not written
};

/// Safe from any thread. The thread that writes starts in the constructor.
class LineWriter {
 public:
  explicit LineWriter(LineWriterConfig config);
  ~LineWriter();  ///< writes what was appended; errors are lost, so call close() first
  LineWriter(LineWriter const&) = delete;
  LineWriter& operator=(LineWriter const&) = delete;

  /// Appends `line` (without its end; it holds no '\n') and returns its ordinal, counted from 1. Throws FileError if an
  /// earlier line could not be written.
  std::uint64_t append(std::string const& line);
  /// Lines 1 .. durable() are safe.
  std::uint64_t durable() const;
  /// The error that stopped the writer, or empty.
  std::string failure() const;
  /// Waits until every line is safe, and stops. Throws FileError if one is not.
  void close();

 private:
  void write_loop();
  bool commit(std::string const& batch, std::uint64_t lines);
  void stop();

  LineWriterConfig const config_;
  mutable std::mutex mutex_;
  std::condition_variable more_, room_;
  std::string pending_;  ///< lines not handed to the writing thread yet
  std::uint64_t pending_lines_ = 0, appended_ = 0, durable_ = 0;
  std::uint64_t safe_bytes_ = 0;  ///< file size after the last commit
  std::string failure_;
  bool closing_ = false;
  std::jthread thread_;
};

}  // namespace windlass
