// Checkpoint folders: what is written comes back, damage of any kind is seen, and the one before stays whole.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>

#include "src/core/error.hpp"
#include "src/store/checkpoint_folder.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t page_bytes[] = {4096, 1024};

class CheckpointFolders : public testing::Test {
 protected:
  CheckpointFolders() {
    char name[] = "/tmp/windlass-checkpoint-XXXXXX";
    root_ = ::mkdtemp(name);
    folder_ = root_ + "/kv";
  }
  ~CheckpointFolders() override {
    std::error_code ignored;
    fs::permissions(folder_, fs::perms::owner_all, ignored);
    fs::remove_all(root_, ignored);
  }

  static CheckpointIdentity identity() {
    return {.model = std::string(32, 'a'),
            .tokenizer = "none",
            .arithmetic = "avx2/fast/v1",
            .kv_format = "bf16",
            .groups = {{.layers = 2, .kv_heads = 1, .head_dim = 8, .window_tokens = 0, .page_bytes = page_bytes[0]},
                       {.layers = 1, .kv_heads = 1, .head_dim = 4, .window_tokens = 64, .page_bytes = page_bytes[1]}}};
  }

  static std::vector<std::byte> bytes_of(PageName const& name) {
    std::vector<std::byte> bytes(page_bytes[name.group]);
    std::mt19937_64 random(name.name.low * 31 + name.group);
    for (std::byte& byte : bytes) byte = std::byte(random());
    return bytes;
  }

  /// Blocks first .. first + count - 1, and one request.
  CheckpointContent content(std::uint64_t first, std::uint64_t count) {
    CheckpointContent content;
    for (std::uint64_t i = first; i < first + count; ++i) {
      SavedBlock block{.name = {i, 7}, .parent = {i - 1, 7}};
      block.tokens.fill(TokenId(std::uint32_t(i)));
      content.blocks.push_back(block);
      for (std::uint32_t group = 0; group < 2; ++group) {
        PageName const name{.group = group, .name = block.name};
        content.pages.push_back({.name = name, .bytes = kept_.emplace_back(bytes_of(name))});
      }
    }
    SavedRequest request{.name = {first, 9}, .choices = {}, .progress = {std::byte{1}, std::byte{2}}};
    request.choices.push_back({.choice = 1,
                               .prompt_tokens = 2,
                               .generated_tokens = 1,
                               .computed = 2,
                               .tokens = {TokenId{5}, TokenId{6}, TokenId{7}}});
    content.requests.push_back(request);
    return content;
  }

  static StoredPart save(CheckpointFolder& folder, CheckpointContent content, WriteManner const& manner = {}) {
    std::uint64_t const number = folder.next_number();
    auto part = folder.write(number, identity(), content, manner);
    if (!part) return {};
    folder.publish({.identity = identity(),
                    .number = number,
                    .written_unix_s = 1,
                    .planned_end = false,
                    .configuration = {{"model", "m"}},
                    .parts = {part->name},
                    .part_digests = {part->written.digest}});
    return std::move(*part);
  }

  std::unique_ptr<CheckpointFolder> open(int keep = 2, std::uint64_t max_bytes = 0) const {
    return std::make_unique<CheckpointFolder>(
        CheckpointFolderConfig{.path = folder_, .keep = keep, .max_bytes = max_bytes});
  }

  /// Pages of blocks [first, first + count) that come back right; wrong bytes fail the test.
  static int right_pages(CheckpointFolder& folder, std::uint64_t first, std::uint64_t count) {
    std::vector<CheckpointFolder::PageToRead> wanted;
    std::deque<std::vector<std::byte>> read;
    for (std::uint64_t i = first; i < first + count; ++i)
      for (std::uint32_t group = 0; group < 2; ++group)
        wanted.push_back(
            {.name = {.group = group, .name = {i, 7}}, .bytes = read.emplace_back(page_bytes[group], std::byte{})});
    ThreadTeam team({.threads = 2});
    folder.read(wanted, team);
    int right = 0;
    for (CheckpointFolder::PageToRead const& page : wanted) {
      if (page.result != PageReader::Result::ok) continue;
      EXPECT_TRUE(std::equal(page.bytes.begin(), page.bytes.end(), bytes_of(page.name).begin()));
      ++right;
    }
    return right;
  }

  std::vector<std::string> files(std::string const& start) const {
    std::vector<std::string> found;
    for (auto const& entry : fs::directory_iterator(folder_))
      if (entry.path().filename().string().rfind(start, 0) == 0) found.push_back(entry.path().string());
    std::sort(found.begin(), found.end());
    return found;
  }

  std::string root_, folder_;
  std::deque<std::vector<std::byte>> kept_;
};

TEST_F(CheckpointFolders, WhatIsWrittenComesBack) {
  save(*open(), content(1, 5));

  auto const folder = open();
  auto const loaded = folder->load(identity(), ArithmeticRule::must_agree);

  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->master.identity, identity());
  EXPECT_EQ(loaded->master.configuration.at("model"), "m");
  ASSERT_EQ(loaded->parts.size(), 1u);
  SavedPart const& part = loaded->parts[0];
  ASSERT_EQ(part.blocks.size(), 5u);
  EXPECT_EQ(part.blocks[2].name, (Hash128{3, 7}));
  EXPECT_EQ(part.blocks[2].parent, (Hash128{2, 7}));
  EXPECT_EQ(part.blocks[2].tokens[63], TokenId{3});
  ASSERT_EQ(part.requests.size(), 1u);
  EXPECT_EQ(part.requests[0].progress, (std::vector{std::byte{1}, std::byte{2}}));
  EXPECT_EQ(part.requests[0].choices[0].tokens, (std::vector{TokenId{5}, TokenId{6}, TokenId{7}}));
  EXPECT_EQ(right_pages(*folder, 1, 5), 10);
}

TEST_F(CheckpointFolders, PagesThatAreOnDiskAreNotWrittenAgain) {
  auto folder = open();
  save(*folder, content(1, 8));

  auto const second = save(*folder, content(3, 8));  // 3 .. 8 again, 9 and 10 new

  EXPECT_EQ(second.written.new_pages, 4u);
  EXPECT_EQ(second.written.kept_pages, 12u);
  folder.reset();
  folder = open();
  ASSERT_TRUE(folder->load(identity(), ArithmeticRule::must_agree));
  EXPECT_EQ(right_pages(*folder, 3, 8), 16);
}

TEST_F(CheckpointFolders, OldCheckpointsGoAndFilesThatNobodyNeedsWithThem) {
  auto const folder = open(2);
  for (std::uint64_t i = 0; i < 6; ++i) save(*folder, content(1 + 10 * i, 4));  // nothing in common

  EXPECT_EQ(files("checkpoint-").size(), 2u);
  EXPECT_EQ(files("part-").size(), 2u);
  EXPECT_EQ(right_pages(*folder, 51, 4), 8);
}

TEST_F(CheckpointFolders, AFileOfWhichLittleIsWantedIsNotKeptForIt) {
  auto const folder = open(1);
  save(*folder, content(1, 10));
  auto const second = save(*folder, content(10, 2));  // one block of ten

  EXPECT_EQ(second.written.kept_pages, 0u);
  EXPECT_EQ(files("part-").size(), 1u);
}

TEST_F(CheckpointFolders, AnyFlippedBitIsSeenAndNothingWrongComesBack) {
  save(*open(), content(1, 4));
  save(*open(), content(101, 4));
  std::string const part = files("part-").back(), master = files("checkpoint-").back();
  std::mt19937 random(3);
  int older = 0, partial = 0;
  for (int i = 0; i < 60; ++i) {
    std::string const path = i % 3 == 0 ? master : part;
    auto const at = std::streamoff(random() % fs::file_size(path));
    char const mask = char(1 << (random() % 8));
    auto const flip = [&] {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(at);
      char const byte = char(file.get() ^ mask);
      file.seekp(at);
      file.put(byte);
    };
    flip();

    auto const folder = open();
    auto const loaded = folder->load(identity(), ArithmeticRule::must_agree);

    ASSERT_TRUE(loaded);
    bool const newest = loaded->master.number == 2;
    older += !newest;
    int const right = right_pages(*folder, newest ? 101 : 1, 4);
    EXPECT_GE(right, newest ? 7 : 8);
    partial += right == 7;
    flip();
  }
  EXPECT_GT(older, 0);
  EXPECT_GT(partial, 0);
}

TEST_F(CheckpointFolders, ACutFileIsSeen) {
  save(*open(), content(1, 4));
  save(*open(), content(101, 4));
  std::string const part = files("part-").back();
  auto const whole = fs::file_size(part);
  fs::copy_file(part, root_ + "/whole");
  for (auto const size : {std::uintmax_t{0}, std::uintmax_t{100}, std::uintmax_t{600}, whole / 2, whole - 1}) {
    fs::copy_file(root_ + "/whole", part, fs::copy_options::overwrite_existing);
    fs::resize_file(part, size);
    auto const folder = open();
    auto const loaded = folder->load(identity(), ArithmeticRule::must_agree);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->master.number, 1u);
    EXPECT_EQ(right_pages(*folder, 1, 4), 8);
  }
}

TEST_F(CheckpointFolders, AMissingFileOfAnOlderCheckpointCostsItsPagesAlone) {
  auto folder = open();
  save(*folder, content(1, 8));
  save(*folder, content(3, 8));
  folder.reset();
  fs::remove(files("part-").front());

  folder = open();
  auto const loaded = folder->load(identity(), ArithmeticRule::must_agree);

  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->master.number, 2u);
  EXPECT_EQ(right_pages(*folder, 3, 8), 4);
  auto const third = save(*folder, content(3, 8));  // what was found missing is written again
  EXPECT_EQ(third.written.new_pages, 12u);
  EXPECT_EQ(right_pages(*folder, 3, 8), 16);
}

TEST_F(CheckpointFolders, AnotherModelTokenizerOrArithmeticIsRefusedByName) {
  save(*open(), content(1, 2));
  auto const folder = open();
  auto const refusal = [&](CheckpointIdentity const& now) {
    try {
      folder->load(now, ArithmeticRule::must_agree);
    } catch (InputError const& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CheckpointIdentity now = identity();
  now.model = std::string(32, 'b');
  EXPECT_NE(refusal(now).find("model: was aaaa"), std::string::npos);
  now = identity();
  now.tokenizer = "other";
  EXPECT_NE(refusal(now).find("tokenizer: was none, is other"), std::string::npos);
  now = identity();
  now.kv_format = "f32";
  EXPECT_NE(refusal(now).find("KV format: was bf16, is f32"), std::string::npos);
  now = identity();
  now.arithmetic = "amx/fast/v1";
  EXPECT_NE(refusal(now).find("--allow-different-arithmetic"), std::string::npos);
  EXPECT_FALSE(folder->load(now, ArithmeticRule::may_differ));
}

TEST_F(CheckpointFolders, ASecondJobIsRefused) {
  auto const folder = open();
  EXPECT_THROW(open(), InputError);
}

TEST_F(CheckpointFolders, AStoppedWriterLeavesNothingBehind) {
  auto const folder = open();
  save(*folder, content(1, 4));
  save(*folder, content(50, 4), {.pace = [](std::uint64_t) { return false; }});

  EXPECT_EQ(files("part-").size(), 1u);
  EXPECT_EQ(folder->load(identity(), ArithmeticRule::must_agree)->master.number, 1u);
}

/// Aligned as a pool's, so that they go past the page cache, where the file system has such a way.
TEST_F(CheckpointFolders, AlignedPagesComeBackFromTheDiskAndFromTheCache) {
  constexpr std::size_t bytes = 65536, count = 40;
  std::vector<std::byte> memory(bytes * (count + 1));
  void* place = memory.data();
  std::size_t space = memory.size();
  auto* const pages = static_cast<std::byte*>(std::align(4096, bytes * count, place, space));
  std::mt19937_64 random(3);
  std::generate_n(pages, bytes * count, [&] { return std::byte(random()); });
  auto own_identity = identity();
  own_identity.groups = {{.layers = 1, .kv_heads = 1, .head_dim = 8, .window_tokens = 0, .page_bytes = bytes}};
  CheckpointContent content;
  for (std::size_t i = 0; i < count; ++i)
    content.pages.push_back({.name = {.group = 0, .name = {i, 1}}, .bytes = {pages + i * bytes, bytes}});
  auto folder = open();

  auto const part = folder->write(1, own_identity, content, {.threads = 3});

  ASSERT_TRUE(part);
  std::vector<std::byte> const written(pages, pages + bytes * count);
  std::vector<CheckpointFolder::PageToRead> wanted;
  for (PageToSave const& page : content.pages)
    wanted.push_back({.name = page.name, .bytes = {pages + page.name.name.low * bytes, bytes}});
  ThreadTeam team({.threads = 2});
  int const file = ::open((folder_ + "/" + part->name).c_str(), O_RDONLY);
  for (int const advice : {POSIX_FADV_DONTNEED, POSIX_FADV_WILLNEED}) {
    ::posix_fadvise(file, 0, 0, advice);
    std::fill_n(pages, bytes * count, std::byte{});
    folder->read(wanted, team);
    for (auto const& page : wanted) EXPECT_EQ(page.result, PageReader::Result::ok);
    EXPECT_TRUE(std::equal(written.begin(), written.end(), pages));
  }
  ::close(file);
}

TEST_F(CheckpointFolders, PagesThatAreFetchedWhenTheirTurnComesAreWritten) {
  auto all = content(1, 20);
  std::map<PageName, std::span<std::byte const>> elsewhere;
  for (PageToSave& page : all.pages) {
    elsewhere[page.name] = page.bytes;
    page.bytes = {};
    page.source = PageId{1};
  }
  std::vector<std::byte> buffer;
  auto const one_at_a_time = [&](std::span<PageToSave> pages) {
    auto const bytes = elsewhere.at(pages[0].name);
    buffer.assign(bytes.begin(), bytes.end());
    pages[0].bytes = buffer;
    return std::size_t{1};
  };
  auto const folder = open();

  auto const part = folder->write(1, identity(), all, {.fetch = one_at_a_time});

  ASSERT_TRUE(part);
  EXPECT_EQ(part->written.new_pages, 40u);
  EXPECT_EQ(right_pages(*folder, 1, 20), 40);
}

TEST_F(CheckpointFolders, ADiskThatFillsUpMeanwhileIsAnErrorAndTheOldOneStays) {
  auto folder = open();
  save(*folder, content(1, 4));
  auto all = content(10, 300);
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_IGN);
  auto const fill_up = [&](std::uint64_t) {
    struct rlimit small = before;
    small.rlim_cur = 200'000;
    return ::setrlimit(RLIMIT_FSIZE, &small) == 0;
  };

  EXPECT_THROW(folder->write(folder->next_number(), identity(), all, {.pace = fill_up, .threads = 2}), FileError);

  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(files("part-").size(), 1u);
  folder.reset();
  folder = open();
  EXPECT_EQ(folder->load(identity(), ArithmeticRule::must_agree)->master.number, 1u);
  EXPECT_EQ(right_pages(*folder, 1, 4), 8);
}

TEST_F(CheckpointFolders, WhereRoomIsShortTheFirstPagesAreKept) {
  std::uint64_t const room = (std::uint64_t{1} << 20) + 200'000;  // the tables are taken for 1 MiB
  auto folder = open(2, room);

  auto const part = save(*folder, content(1, 100));

  EXPECT_GT(part.left_out_pages, 0u);
  EXPECT_GT(part.written.new_pages, 10u);
  EXPECT_LE(fs::file_size(files("part-").front()), room);
  EXPECT_EQ(right_pages(*folder, 1, 3), 6);
  EXPECT_EQ(right_pages(*folder, 99, 2), 0);
}

TEST_F(CheckpointFolders, WithoutRoomForAnythingTheErrorSaysSoAndTheOldOneStays) {
  auto folder = open(2, std::uint64_t{1} << 20);
  EXPECT_THROW(
      {
        auto all = content(1, 2);
        folder->write(folder->next_number(), identity(), all, {});
      },
      FileError);
  folder.reset();
  folder = open();
  save(*folder, content(1, 2));
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 1'500'000;  // the check lets the tables pass, and the fill is cut to what fits
  ::setrlimit(RLIMIT_FSIZE, &small);
  auto const part = save(*folder, content(10, 300));
  ::setrlimit(RLIMIT_FSIZE, &before);

  EXPECT_GT(part.left_out_pages, 0u);
  EXPECT_EQ(files("checkpoint-").size(), 2u);
}

}  // namespace
}  // namespace windlass
