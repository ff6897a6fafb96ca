// Uploaded forms, the store of files, and the states of batches.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "src/core/error.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/online/batch_results.hpp"
#include "src/serve/online/batch_state.hpp"
#include "src/serve/online/file_store.hpp"
#include "src/serve/online/multipart.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;

constexpr char const* form_type = "multipart/form-data; boundary=\"b-1\"";

std::string const form =
    "--b-1\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
    "--b-1\r\ncontent-disposition: form-data; filename=\"a \\\"b\\\".jsonl\"; name=file\r\nContent-Type: "
    "x\r\n\r\nline\r\n--b-\r\n\r\n"
    "--b-1--\r\n";

/// A folder that goes with the test.
class Files : public testing::Test {
 protected:
  Files() : folder_(testing::TempDir() + "files_" + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
  }
  ~Files() override { fs::remove_all(folder_); }
  FileStoreConfig config() const { return {.folder = folder_, .max_user_bytes = 100, .max_user_files = 3}; }
  std::string write(char const* name, std::string const& content) const {
    fs::create_directories(folder_);
    std::ofstream(folder_ + "/" + name) << content;
    return folder_ + "/" + name;
  }
  std::string const folder_;
};

StoredFile of_ann(char const* name = "a.jsonl") { return {.id = "", .user = "ann", .name = name, .purpose = "batch"}; }

TEST(Multipart, FindsThePartsOfAForm) {
  auto const parts = parse_multipart(form_type, form);

  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].name, "purpose");
  EXPECT_EQ(parts[0].content, "batch");
  EXPECT_EQ(parts[1].name, "file");
  EXPECT_EQ(parts[1].file_name, "a \"b\".jsonl");
  EXPECT_EQ(parts[1].content, "line\r\n--b-\r\n");
}

TEST(Multipart, EveryCutFormIsRefused) {
  for (std::size_t length = 0; length + 4 < form.size(); ++length)
    EXPECT_THROW(parse_multipart(form_type, std::string_view(form).substr(0, length)), ApiError) << length;
  EXPECT_NO_THROW(parse_multipart(form_type, std::string_view(form).substr(0, form.size() - 2)));
}

TEST(Multipart, WhatIsNoFormIsRefused) {
  std::string many;
  for (int i = 0; i < 17; ++i) many += "--b-1\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n\r\n";
  EXPECT_THROW(parse_multipart("application/json", form), ApiError);
  EXPECT_THROW(parse_multipart("multipart/form-data", form), ApiError);
  EXPECT_THROW(parse_multipart(form_type, many + "--b-1--"), ApiError);
  EXPECT_THROW(parse_multipart(form_type, "--b-1\r\n\r\n\r\nno head\r\n--b-1--"), ApiError);
  EXPECT_THROW(parse_multipart(form_type, "--b-1\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\nx\r\n--b-1--"),
               ApiError);
}

TEST_F(Files, AreThereAgainWithTheNextServer) {
  StoredFile first;
  {
    FileStore store(config());
    first = store.add(of_ann(), "some content");
    store.add(of_ann("b.jsonl"), "x");
  }
  write("file-00000000000000000000000000000000.data", "of an upload that never ended");

  FileStore const store(config());

  ASSERT_EQ(store.list("ann").size(), 2u);
  EXPECT_EQ(store.find("ann", first.id)->name, "a.jsonl");
  EXPECT_EQ(store.find("ann", first.id)->bytes, 12u);
  EXPECT_EQ(read_small_file(store.content_path(first.id)), "some content");
  EXPECT_FALSE(fs::exists(store.content_path("file-00000000000000000000000000000000")));
  EXPECT_EQ(fs::status(folder_).permissions() & fs::perms::all, fs::perms::owner_all);
}

TEST_F(Files, NobodySeesAnotherUsersFiles) {
  FileStore store(config());
  StoredFile const file = store.add(of_ann(), "x");

  EXPECT_FALSE(store.find("bob", file.id));
  EXPECT_FALSE(store.remove("bob", file.id));
  EXPECT_TRUE(store.list("bob").empty());
  EXPECT_TRUE(store.remove("ann", file.id));
  EXPECT_FALSE(store.find("ann", file.id));
  EXPECT_FALSE(fs::exists(store.content_path(file.id)));
}

TEST_F(Files, AUserMayKeepSoMuch) {
  FileStore store(config());
  store.add(of_ann(), std::string(60, 'x'));

  EXPECT_THROW(store.add(of_ann(), std::string(41, 'x')), ApiError);
  EXPECT_NO_THROW(store.add({.id = "", .user = "bob", .name = "b", .purpose = "batch"}, std::string(41, 'x')));
  store.add(of_ann(), "x");
  store.add(of_ann(), "x");
  EXPECT_THROW(store.add(of_ann(), "x"), ApiError);
}

TEST_F(Files, OneServerHasAFolder) {
  FileStore const store(config());
  EXPECT_THROW(FileStore{config()}, InputError);
}

TEST(BatchState, IsTheSameBehindTheDisk) {
  BatchState batch{.id = "batch_1",
                   .user = "ann",
                   .endpoint = "/v1/completions",
                   .input_file = "file-1",
                   .metadata = {{"a", "b"}},
                   .times = {{"created_at", 5}, {"expires_at", 10}},
                   .total = 7,
                   .problems = {{.code = "c", .message = "m", .line = 3}, {.code = "d", .message = "n"}},
                   .seed = ~std::uint64_t{0}};
  batch.enter(BatchStatus::cancelling, 8);

  BatchState const back = parse_stored_batch(stored_batch_json(batch));
  boost::json::value const shown = boost::json::parse(batch_json(batch));

  EXPECT_EQ(stored_batch_json(back), stored_batch_json(batch));
  EXPECT_EQ(back.seed, batch.seed);
  EXPECT_EQ(shown.at("status"), "cancelling");
  EXPECT_EQ(shown.at("cancelling_at"), 8);
  EXPECT_TRUE(shown.at("completed_at").is_null());
  EXPECT_EQ(shown.at("errors").at("data").at(0).at("line"), 3);
  EXPECT_FALSE(shown.as_object().contains("user"));
}

TEST_F(Files, AnswersAndErrorsOfAJournalAreParted) {
  std::string const good = R"({"id":"1","response":{"status_code":200,"body":{}},"error":null})";
  std::string const bad = R"({"id":"2","response":{"status_code":400,"body":{}},"error":null})";
  std::string const journal = write("journal", good + "\n" + bad + "\n" + good + "\n");
  ResultPaths const to{.answers = folder_ + "/answers", .errors = folder_ + "/errors"};

  SplitJournal const counts = split_journal(journal, to);

  EXPECT_EQ(counts.answered, 2);
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(read_small_file(to.answers), good + "\n" + good + "\n");
  EXPECT_EQ(read_small_file(to.errors), bad + "\n");
}

TEST_F(Files, ALineOfAnotherEndpointIsFound) {
  std::string const input = write("in", "{\"url\":\"/v1/completions\"}\n\nnonsense\n{\"url\":\"/v1/embeddings\"}\n");

  BatchLines const lines = look_through(input, "/v1/completions");

  EXPECT_EQ(lines.count, 3);
  EXPECT_EQ(lines.wrong_line, 4);
  EXPECT_EQ(lines.wrong_url, "/v1/embeddings");
}

}  // namespace
}  // namespace windlass
