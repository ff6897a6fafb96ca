#include "src/serve/jsonl_reader.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/serve/decompress.hpp"

namespace windlass {
namespace {

/// Bytes that come a few at a time, as from a pipe.
class SlowStream final : public InputStream {
 public:
  SlowStream(std::string bytes, std::size_t at_once) : bytes_(std::move(bytes)), at_once_(at_once) {}
  std::size_t read(std::span<char> space) override {
    std::size_t const count = std::min({space.size(), at_once_, bytes_.size() - read_});
    std::copy_n(bytes_.data() + read_, count, space.data());
    read_ += count;
    return count;
  }
  void stop() override {}
  std::uint64_t stored_bytes_read() const override { return read_; }
  std::optional<std::uint64_t> stored_bytes() const override { return bytes_.size(); }

 private:
  std::string bytes_;
  std::size_t at_once_, read_ = 0;
};

std::vector<JsonlLine> lines_of(InputStream& stream, std::size_t max_line_bytes = 1000) {
  JsonlReader reader(stream, max_line_bytes);
  std::vector<JsonlLine> lines;
  for (JsonlLine line; reader.next(line);) lines.push_back(line);
  return lines;
}

/// gzip of "first\n" and, as a second member, of "second"; made with Python's gzip.compress(…, mtime=0).
std::string const gzip_bytes(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\xcb\x2c\x2a\x2e\xe1\x02\x00\x2a\xb3\x4a\xc7\x06\x00\x00\x00"
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\x4e\x4d\xce\xcf\x4b\x01\x00\x69\x11\x1f\xb6\x06\x00\x00\x00",
    26 + 26);

TEST(JsonlReader, LinesAreTheSameHoweverTheBytesCome) {
  std::string const bytes = "\xef\xbb\xbf{\"a\":1}\r\n\n  \t\n{\"b\":2}\nlast";
  for (std::size_t const at_once : {1U, 2U, 5U, 1000U}) {
    SlowStream stream(bytes, at_once);

    auto const lines = lines_of(stream);

    ASSERT_EQ(lines.size(), 3U);
    EXPECT_EQ(lines[0].text, "{\"a\":1}\r");
    EXPECT_EQ(lines[1].text, "{\"b\":2}");
    EXPECT_EQ(lines[1].number, 4U);
    EXPECT_EQ(lines[2].text, "last");
    EXPECT_EQ(lines[0].bytes + lines[1].bytes + lines[2].bytes, bytes.size());
  }
}

TEST(JsonlReader, ALongLineIsCutAndTheNextOneIsWhole) {
  SlowStream stream(std::string(5000, 'x') + "\nshort\n" + std::string(10, 'y'), 700);

  auto const lines = lines_of(stream, 10);

  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(lines[0].too_long);
  EXPECT_EQ(lines[0].text, std::string(10, 'x'));
  EXPECT_EQ(lines[1].text, "short");
  EXPECT_FALSE(lines[1].too_long || lines[2].too_long);
}

TEST(JsonlReader, AnEmptyInputHasNoLines) {
  SlowStream stream("", 10), blank("\n\n \n", 10);
  EXPECT_TRUE(lines_of(stream).empty());
  EXPECT_TRUE(lines_of(blank).empty());
}

#ifdef WINDLASS_COMPRESSION
std::unique_ptr<InputStream> unpacked(std::string bytes, std::size_t at_once, Compression compression) {
  return decompressed(std::make_unique<SlowStream>(std::move(bytes), at_once), compression, "test");
}

std::string zstd_bytes() {
  // zstd --no-check of "first\n" and of "second", one frame after the other
  return std::string("\x28\xb5\x2f\xfd\x00\x68\x31\x00\x00\x66\x69\x72\x73\x74\x0a", 15) +
         std::string("\x28\xb5\x2f\xfd\x00\x68\x31\x00\x00\x73\x65\x63\x6f\x6e\x64", 15);
}

TEST(Decompression, SeveralMembersAndFramesAreReadToTheEnd) {
  for (std::size_t const at_once : {1U, 7U, 1000U}) {
    auto const gzip = unpacked(gzip_bytes, at_once, Compression::gzip);
    auto const zstd = unpacked(zstd_bytes(), at_once, Compression::zstd);
    for (InputStream* const stream : {gzip.get(), zstd.get()}) {
      auto const lines = lines_of(*stream);
      ASSERT_EQ(lines.size(), 2U) << at_once;
      EXPECT_EQ(lines[0].text, "first");
      EXPECT_EQ(lines[1].text, "second");
    }
  }
}

TEST(Decompression, EveryCutIsAnErrorAndNeverALostLine) {
  for (std::size_t length = 1; length < gzip_bytes.size(); ++length) {
    if (length == 26) continue;  // a whole member is a whole file
    auto const stream = unpacked(gzip_bytes.substr(0, length), 1000, Compression::gzip);
    EXPECT_THROW(lines_of(*stream), InputError) << length;
  }
  for (std::size_t length = 1; length < zstd_bytes().size(); ++length) {
    if (length == 15) continue;
    auto const stream = unpacked(zstd_bytes().substr(0, length), 1000, Compression::zstd);
    EXPECT_THROW(lines_of(*stream), InputError) << length;
  }
}

TEST(Decompression, DamagedDataIsAnError) {
  std::string bytes = gzip_bytes;
  bytes[20] = char(bytes[20] ^ 1);  // the checksum
  auto const stream = unpacked(bytes, 1000, Compression::gzip);
  EXPECT_THROW(lines_of(*stream), InputError);
}
#endif

TEST(Input, FilesAreToldByTheirFirstBytes) {
  EXPECT_EQ(compression_of(gzip_bytes), Compression::gzip);
  EXPECT_EQ(compression_of("\x28\xb5\x2f\xfd"), Compression::zstd);
  EXPECT_EQ(compression_of("{\"a\""), Compression::none);
  EXPECT_EQ(compression_of("\x1f"), Compression::none);
}

TEST(Input, AFilesHashDependsOnEveryByte) {
  std::string name = (std::filesystem::temp_directory_path() / "windlass-input-XXXXXX").string();
  ASSERT_GE(::mkstemp(name.data()), 0);
  auto const hash_of = [&](std::string const& content) {
    std::ofstream(name, std::ios::binary) << content;
    return hash_of_file(name);
  };
  std::string large(3'000'000, 'a');
  auto const first = hash_of(large);
  large[2'500'000] = 'b';

  EXPECT_NE(first.hex, hash_of(large).hex);
  EXPECT_EQ(first.bytes, 3'000'000U);
  EXPECT_EQ(hash_of("").bytes, 0U);
  std::ofstream(name) << "plain\n";
  auto const stream = open_input(name);
  EXPECT_EQ(lines_of(*stream).at(0).text, "plain");
  std::filesystem::remove(name);
}

}  // namespace
}  // namespace windlass
