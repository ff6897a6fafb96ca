#include "src/store/journal.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/journal_recovery.hpp"

namespace windlass {
namespace {

/// A folder of its own for each test, removed at the end.
class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "windlass-journal-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = (folder_ / "out.jsonl").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  void append_raw(std::string const& bytes) const { std::ofstream(path_, std::ios::binary | std::ios::app) << bytes; }

  std::filesystem::path folder_;
  std::string path_;
};

JournalIdentity identity() {
  return {.model_identity = std::string(32, 'a'),
          .model_path = "model.gguf",
          .input_hash = std::string(32, 'b'),
          .input_bytes = 77,
          .options = {{"seed", "0"}, {"precision", "fast"}},
          .arithmetic = {"avx2-fast-1"}};
}

Hash128 key_of(int request) { return hash_text(text("request-", request)); }

std::string record(int request) {
  return text(R"({"id":")", record_id(key_of(request)), R"(","custom_id":"request-)", request,
              R"(","response":{"status_code":200,"body":{"text":"a \" \\ {"}},"error":null})");
}

/// What the message of an InputError says, or "" if none is thrown.
template <class Action>
std::string refusal(Action const& action) {
  try {
    action();
  } catch (InputError const& error) {
    return error.what();
  }
  return "";
}

void write_records(std::string const& path, int first, int end) {
  Journal journal({.path = path, .commit_interval_us = 1000});
  journal.begin(identity());
  for (int request = first; request < end; ++request) journal.writer().append(record(request));
  journal.writer().close();
  EXPECT_EQ(journal.writer().durable(), std::uint64_t(end - first));
}

TEST_F(JournalTest, FinishedRecordsAreKnownWhenOpenedAgain) {
  write_records(path_, 0, 3);

  Journal journal({.path = path_});
  journal.begin(identity());

  EXPECT_EQ(journal.finished().size(), 3U);
  EXPECT_TRUE(journal.finished().contains(key_of(2)));
  EXPECT_FALSE(journal.finished().contains(key_of(3)));
}

TEST_F(JournalTest, EveryHalfWrittenLastLineIsCut) {
  write_records(path_, 0, 2);
  std::string const whole = content(), half = record(2);
  for (std::size_t length = 1; length <= half.size(); length += 7) {
    append_raw(half.substr(0, length));

    Journal journal({.path = path_});
    journal.begin(identity());

    EXPECT_EQ(journal.finished().size(), 2U) << length;
    EXPECT_EQ(content(), whole) << length;
  }
}

TEST_F(JournalTest, PagesOfZerosAfterAPowerFailureAreCut) {
  write_records(path_, 0, 2);
  std::string const whole = content();
  append_raw(std::string(5000, '\0') + "\n" + record(2) + "\n");

  Journal journal({.path = path_});
  journal.begin(identity());

  EXPECT_EQ(content(), whole);
}

TEST_F(JournalTest, AForeignLineIsRefusedAndNothingIsCut) {
  write_records(path_, 0, 1);
  append_raw("{\"mine\":1}\n" + record(2) + "\n");
  std::string const before = content();

  Journal journal({.path = path_});
  std::string const message = refusal([&] { journal.begin(identity()); });

  EXPECT_NE(message.find("line 2"), std::string::npos) << message;
  EXPECT_EQ(content(), before);
}

TEST_F(JournalTest, AFileThatIsNotAJournalIsRefused) {
  append_raw("my thesis\n");

  EXPECT_NE(refusal([&] { Journal({.path = path_}); }).find("was not written by windlass"), std::string::npos);
  EXPECT_EQ(content(), "my thesis\n");
}

TEST_F(JournalTest, OverwriteStartsAnewOnlyAtBegin) {
  write_records(path_, 0, 2);
  std::string const before = content();

  Journal journal({.path = path_, .existing = ExistingOutput::overwrite});

  EXPECT_EQ(content(), before);
  journal.begin(identity());
  EXPECT_EQ(content(), "");
}

TEST_F(JournalTest, AFileThatWasNeverBegunIsNotLeftBehind) {
  { Journal const mistaken({.path = path_}); }
  EXPECT_FALSE(std::filesystem::exists(path_));
  append_raw("");

  { Journal const mistaken({.path = path_}); }

  EXPECT_TRUE(std::filesystem::exists(path_));  // it was there before
}

TEST_F(JournalTest, ASecondOpenerIsRefusedAndToldTheOwner) {
  Journal journal({.path = path_});
  journal.begin(identity());

  std::string const message = refusal([&] { Journal({.path = path_}); });

  EXPECT_NE(message.find(text("process ", ::getpid())), std::string::npos) << message;
}

TEST_F(JournalTest, EveryDifferenceToTheRecordedRunIsNamed) {
  write_records(path_, 0, 1);
  JournalIdentity other = identity();
  other.model_path = "moved.gguf";  // the same model elsewhere is no difference
  other.options["seed"] = "7";
  other.options["max-model-len"] = "512";
  other.input_bytes = 78;
  other.arithmetic = {"avx512-fast-1"};

  Journal journal({.path = path_});
  std::string const message = refusal([&] { journal.begin(other); });

  EXPECT_NE(message.find("--seed: was 0, is 7"), std::string::npos) << message;
  EXPECT_NE(message.find("--max-model-len: was none, is 512"), std::string::npos) << message;
  EXPECT_NE(message.find("input: was 77 bytes"), std::string::npos) << message;
  EXPECT_NE(message.find("arithmetic: was avx2-fast-1, is avx512-fast-1"), std::string::npos) << message;
  EXPECT_EQ(message.find("moved.gguf"), std::string::npos) << message;
}

TEST_F(JournalTest, AllowedArithmeticIsRecordedBesideTheFirst) {
  write_records(path_, 0, 1);
  JournalIdentity other = identity();
  other.arithmetic = {"avx512-fast-1"};

  Journal({.path = path_, .arithmetic = ArithmeticRule::may_differ}).begin(other);

  EXPECT_EQ(read_side_file(path_)->identity.arithmetic, (std::vector<std::string>{"avx2-fast-1", "avx512-fast-1"}));
}

TEST_F(JournalTest, ADamagedSideFileIsNamed) {
  write_records(path_, 0, 1);
  std::ofstream(side_path(path_)) << R"({"format":1,"model":{},"input":{},"owner":{}})";

  EXPECT_NE(refusal([&] { Journal({.path = path_}); }).find("windlass.json: model: the field 'identity'"),
            std::string::npos);
}

/// The child appends records `first` … until it is killed, and tells how many are durable through shared memory.
pid_t start_writer(std::string const& path, int first, std::atomic<std::uint64_t>& durable) {
  pid_t const child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Journal journal({.path = path, .commit_interval_us = 300});
  journal.begin(identity());
  for (int request = first;; ++request) {
    journal.writer().append(record(request));
    durable.store(journal.writer().durable());
  }
}

TEST_F(JournalTest, AfterKillNothingCountedIsLostAndNothingIsThereTwice) {
  auto* const durable = static_cast<std::atomic<std::uint64_t>*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(static_cast<void*>(durable), MAP_FAILED);
  int first = 0;
  for (std::uint64_t const wanted : {1U, 40U, 333U, 2000U}) {
    durable->store(0);
    pid_t const child = start_writer(path_, first, *durable);
    while (durable->load() < wanted && ::waitpid(child, nullptr, WNOHANG) == 0) std::this_thread::yield();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);

    Journal journal({.path = path_});
    journal.begin(identity());

    int const counted = first + int(durable->load());
    for (int request = 0; request < counted; ++request) ASSERT_TRUE(journal.finished().contains(key_of(request)));
    first = int(journal.finished().size());
    EXPECT_GE(first, counted);
  }
  std::map<std::string, int> lines;
  std::istringstream all(content());
  for (std::string line; std::getline(all, line);) ++lines[line];
  EXPECT_EQ(lines.size(), std::size_t(first));
  for (int request = 0; request < first; ++request) EXPECT_EQ(lines[record(request)], 1) << request;
  ::munmap(durable, 4096);
}

TEST_F(JournalTest, AFullDiskStopsTheJobAndKeepsWhatIsSafe) {
  write_records(path_, 0, 3);
  std::string const safe = content();
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto const old_handler = ::signal(SIGXFSZ, SIG_IGN);
  std::string message;
  {
    Journal journal({.path = path_, .commit_interval_us = 1000});
    journal.begin(identity());
    struct rlimit const small{rlim_t(safe.size() + 50), before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);

    journal.writer().append(record(3));  // the limit lies inside this line
    try {
      journal.writer().close();
    } catch (FileError const& error) {
      message = error.what();
    }
    EXPECT_EQ(journal.writer().durable(), 0U);
    EXPECT_THROW(journal.writer().append(record(4)), FileError);
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, old_handler);

  EXPECT_NE(message.find(path_ + ": cannot write"), std::string::npos) << message;
  EXPECT_EQ(content(), safe);
}

TEST(KeySet, HoldsManyKeysAndTheZeroKey) {
  KeySet keys;
  EXPECT_FALSE(keys.contains({}));
  EXPECT_TRUE(keys.insert({}));
  EXPECT_FALSE(keys.insert({}));
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(keys.insert(key_of(i)));
  for (int i = 0; i < 5000; ++i) EXPECT_FALSE(keys.insert(key_of(i)));

  EXPECT_EQ(keys.size(), 5001U);
  EXPECT_FALSE(keys.contains(key_of(5000)));
}

TEST(RecordId, ReadsBackAndRefusesOtherIds) {
  EXPECT_EQ(key_of_record_id(record_id(key_of(1))), key_of(1));
  EXPECT_FALSE(key_of_record_id("batch_req_12"));
  EXPECT_FALSE(key_of_record_id("batch_req_" + std::string(32, 'g')));
  EXPECT_FALSE(key_of_record_id("batch_abc_" + std::string(32, 'a')));
}

}  // namespace
}  // namespace windlass
