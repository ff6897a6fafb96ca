#include "src/store/journal_recovery.hpp"

#include <unistd.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse_options.hpp>
#include <cerrno>
#include <charconv>
#include <vector>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/locked_file.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
constexpr std::string_view id_prefix = "batch_req_";
constexpr std::size_t part_bytes = std::size_t{1} << 20;
constexpr int record_depth = 64;

/// Checks that a line is JSON and keeps only the value of the outermost object's "id".
struct RecordHandler {
  static constexpr std::size_t max_object_size = std::size_t(-1), max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1), max_string_size = std::size_t(-1);
  using Code = json::error_code;

  int depth = 0;
  bool is_object = false, id_follows = false;
  std::string key, id;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) {
    is_object = is_object || depth == 0;
    ++depth;
    return true;
  }
  bool on_object_end(std::size_t, Code&) { return --depth >= 0; }
  bool on_array_begin(Code&) {
    ++depth;
    return true;
  }
  bool on_array_end(std::size_t, Code&) { return --depth >= 0; }
  bool on_key_part(json::string_view part, std::size_t, Code&) {
    if (depth == 1) key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Code&) {
    if (depth != 1) return true;
    key.append(part.data(), part.size());
    id_follows = key == "id";
    key.clear();
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, Code&) {
    if (depth == 1 && id_follows) id.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, std::size_t count, Code& code) {
    on_string_part(part, count, code);
    if (depth == 1) id_follows = false;
    return true;
  }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, Code&) { return true; }
  bool on_double(double, json::string_view, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }
};

json::parse_options record_options() {
  json::parse_options options;
  options.max_depth = record_depth;
  return options;
}

/// One line, fed in parts.
class RecordCheck {
 public:
  void add(std::string_view part) {
    if (part.find('\0') != std::string_view::npos) torn_ = true;
    if (bad_ || part.empty()) return;
    json::error_code failed;
    std::size_t const read = parser_.write_some(true, part.data(), part.size(), failed);
    bad_ = bool(failed) || read < part.size();
  }
  /// The record's key, if the line is one.
  std::optional<Hash128> finish() {
    if (bad_) return std::nullopt;
    json::error_code failed;
    parser_.write_some(false, "", 0, failed);
    if (failed || !parser_.done() || !parser_.handler().is_object) return std::nullopt;
    return key_of_record_id(parser_.handler().id);
  }
  bool torn() const { return torn_; }

 private:
  json::basic_parser<RecordHandler> parser_{record_options()};
  bool bad_ = false, torn_ = false;
};

/// Goes through a file part by part and decides line by line.
class Recovery {
 public:
  explicit Recovery(OpenFile const& file) : file_(file) {}

  RecoveredJournal run() {
    std::vector<char> part(part_bytes);
    while (!cut_) {
      ssize_t const read = ::pread(file_.descriptor(), part.data(), part.size(), off_t(offset_));
      if (read < 0 && errno == EINTR) continue;
      if (read < 0) throw FileError(file_.path(), "read", errno);
      if (read == 0) break;
      take({part.data(), std::size_t(read)});
    }
    return std::move(found_);
  }

 private:
  void take(std::string_view part) {
    while (!part.empty() && !cut_) {
      std::size_t const end = part.find('\n');
      std::size_t const length = end == std::string_view::npos ? part.size() : end;
      if (bad_line_ && length > 0) refuse();  // something follows the bad line, so it is not a half-written last one
      check_->add(part.substr(0, length));
      offset_ += length;
      if (end == std::string_view::npos) return;
      ++offset_;
      part.remove_prefix(end + 1);
      end_line();
    }
  }

  void end_line() {
    ++line_;
    auto const key = check_->finish();
    if (key) {
      found_.keys.insert(*key);
      ++found_.records;
      found_.safe_bytes = offset_;
    } else if (check_->torn()) {
      cut_ = true;
    } else if (bad_line_) {
      refuse();
    } else {
      bad_line_ = line_;
    }
    check_.emplace();
  }

  [[noreturn]] void refuse() const {
    throw InputError(text(file_.path(), " line ", *bad_line_, ": not a record of Windlass (expected {\"id\":\"",
                          id_prefix,
                          "…\",…}); remove the line, name another --output, or use --overwrite to drop the "
                          "whole file"));
  }

  OpenFile const& file_;
  std::uint64_t offset_ = 0, line_ = 0;
  std::optional<RecordCheck> check_{std::in_place};
  std::optional<std::uint64_t> bad_line_;
  bool cut_ = false;
  RecoveredJournal found_;
};

}  // namespace

RecoveredJournal recover_journal(OpenFile const& file) { return Recovery(file).run(); }

std::string record_id(Hash128 key) { return std::string(id_prefix) + to_hex(key); }

std::optional<Hash128> key_of_record_id(std::string_view id) {
  if (id.size() != id_prefix.size() + 32 || !id.starts_with(id_prefix)) return std::nullopt;
  auto const half = [&](std::size_t at) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    char const* const begin = id.data() + id_prefix.size() + at;
    auto const [end, failed] = std::from_chars(begin, begin + 16, value, 16);
    if (failed != std::errc{} || end != begin + 16) return std::nullopt;
    return value;
  };
  auto const high = half(0), low = half(16);
  if (!high || !low) return std::nullopt;
  return Hash128{.low = *low, .high = *high};
}

}  // namespace windlass
