#include "src/model/file_bytes.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "src/core/error.hpp"
#include "src/model/piece_cache.hpp"

namespace windlass {
namespace {

/// A file that goes away with the test.
class File {
 public:
  explicit File(std::size_t size)
      : path_(std::filesystem::temp_directory_path() / ("file_bytes_test." + std::to_string(getpid()))) {
    std::ofstream out(path_, std::ios::binary);
    for (std::size_t i = 0; i < size; ++i) out.put(char(i * 7));
  }
  ~File() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(FileBytes, EveryModeReadsTheSameBytes) {
  File const file(10'000);
  for (LoadMode const mode : {LoadMode::automatic, LoadMode::map, LoadMode::read}) {
    FileBytes const bytes(file.path(), mode);
    std::vector<std::byte> out(100);

    bytes.read(9'900, out);

    EXPECT_EQ(bytes.size(), 10'000u);
    for (std::size_t i = 0; i < 100; ++i) ASSERT_EQ(out[i], std::byte((9'900 + i) * 7));
  }
}

TEST(FileBytes, AFileThatWasCutAfterOpeningIsAnErrorAndNoSignal) {
  File const file(10'000);
  for (LoadMode const mode : {LoadMode::map, LoadMode::read}) {
    std::filesystem::resize_file(file.path(), 10'000);
    FileBytes const bytes(file.path(), mode);
    std::filesystem::resize_file(file.path(), 5'000);
    std::vector<std::byte> out(6'000);

    EXPECT_THROW(bytes.read(0, out), InputError);
  }
}

TEST(FileBytes, ReadingPastTheEndNamesTheFile) {
  File const file(100);
  FileBytes const bytes(file.path(), LoadMode::map);
  std::vector<std::byte> out(50);

  EXPECT_THROW(bytes.read(51, out), InputError);
  EXPECT_THROW(bytes.read(~std::uint64_t(0) - 10, out), InputError);
  EXPECT_NO_THROW(bytes.read(50, out));
}

TEST(FileBytes, WhatIsNoFileIsRefused) {
  EXPECT_THROW(FileBytes("/nonexistent/model.gguf", LoadMode::automatic), FileError);
  EXPECT_THROW(FileBytes("/tmp", LoadMode::automatic), InputError);
}

/// A file of `pieces` pieces, each byte telling its piece, whose reads are counted.
struct CountedFile {
  explicit CountedFile(std::uint64_t pieces) : reads(pieces) {}
  PieceCache cache() {
    return PieceCache(reads.size() * file_piece_bytes, [this](std::uint64_t offset, std::span<std::byte> out) {
      ++reads[offset / file_piece_bytes];
      std::memset(out.data(), int(offset / file_piece_bytes), out.size());
    });
  }
  std::vector<std::atomic<int>> reads;
};

TEST(PieceCache, ReadsEachPieceOnceForManySmallReadsInOrder) {
  CountedFile file(3);
  PieceCache cache = file.cache();
  std::vector<std::byte> out(file_piece_bytes / 8);

  for (std::uint64_t offset = 0; offset + out.size() <= 3 * file_piece_bytes; offset += out.size() / 2) {
    cache.read(offset, out);
    ASSERT_EQ(out.front(), std::byte(offset / file_piece_bytes));
    ASSERT_EQ(out.back(), std::byte((offset + out.size() - 1) / file_piece_bytes));
  }

  for (std::atomic<int> const& count : file.reads) EXPECT_EQ(count, 1);
}

TEST(PieceCache, ThreadsThatNeedOnePieceGetTheSameBytes) {
  CountedFile file(4);
  PieceCache cache = file.cache();
  std::atomic<int> wrong{0};

  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        std::vector<std::byte> out(1000);
        for (std::uint64_t piece = 0; piece < 4; ++piece) {
          cache.read(piece * file_piece_bytes + 5, out);
          if (out[0] != std::byte(piece) || out[999] != std::byte(piece)) ++wrong;
        }
      });
  }

  EXPECT_EQ(wrong, 0);
  for (std::atomic<int> const& count : file.reads) EXPECT_EQ(count, 1);
}

TEST(PieceCache, AnErrorReachesTheReader) {
  PieceCache cache(100, [](std::uint64_t, std::span<std::byte>) { throw InputError("disk"); });
  std::byte out{};

  EXPECT_THROW(cache.read(5, std::span(&out, 1)), InputError);
}

}  // namespace
}  // namespace windlass
