#include "src/serve/online/batch_results.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>

#include "src/core/error.hpp"
#include "src/serve/input_stream.hpp"
#include "src/serve/jsonl_reader.hpp"
#include "src/store/locked_file.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

constexpr std::size_t max_line_bytes = std::size_t{1} << 30, buffer_bytes = std::size_t{1} << 20;
constexpr int status_ok = 200;

bool is_answered(std::string const& record) {
  json::error_code failed;
  json::value const parsed = json::parse(record, failed);
  json::value const* const status = failed ? nullptr : parsed.find_pointer("/response/status_code", failed);
  return status && status->is_int64() && status->as_int64() == status_ok;
}

class Output {
 public:
  explicit Output(std::string const& path) : file_(path, O_WRONLY | O_CREAT | O_TRUNC) {}
  void add(std::string const& line) {
    buffer_ += line;
    buffer_ += '\n';
    if (buffer_.size() >= buffer_bytes) write();
  }
  void close() {
    write();
    if (::fdatasync(file_.descriptor()) != 0) throw FileError(file_.path(), "sync", errno);
  }

 private:
  void write() {
    file_.write_all(buffer_);
    buffer_.clear();
  }
  OpenFile file_;
  std::string buffer_;
};

}  // namespace

SplitJournal split_journal(std::string const& journal, ResultPaths const& to) {
  auto const stream = open_input(journal);
  JsonlReader reader(*stream, max_line_bytes);
  Output answers(to.answers), errors(to.errors);
  SplitJournal counts;
  for (JsonlLine line; reader.next(line);) {
    bool const answered = is_answered(line.text);
    ++(answered ? counts.answered : counts.failed);
    (answered ? answers : errors).add(line.text);
  }
  answers.close();
  errors.close();
  return counts;
}

BatchLines look_through(std::string const& input, std::string const& endpoint) {
  auto const stream = open_input(input);
  JsonlReader reader(*stream, max_line_bytes);
  BatchLines found;
  for (JsonlLine line; reader.next(line);) {
    ++found.count;
    json::error_code failed;
    json::value const parsed = json::parse(line.text, failed);
    json::value const* const url = failed ? nullptr : parsed.find_pointer("/url", failed);
    if (found.wrong_line > 0 || !url || !url->is_string() || url->as_string() == endpoint) continue;
    found.wrong_line = std::int64_t(line.number);
    found.wrong_url = std::string(url->as_string());
  }
  return found;
}

}  // namespace windlass
