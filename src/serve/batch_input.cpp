#include "src/serve/batch_input.hpp"

#include "src/core/text.hpp"
#include "src/serve/request_json.hpp"

namespace windlass {
namespace {

constexpr std::size_t weight_of_any = 512;

std::size_t weight_of(PreparedLine const& line) {
  std::size_t weight = weight_of_any + line.head.custom_id.size();
  if (auto const* request = std::get_if<ApiRequest>(&line.content)) {
    weight += request->prompt_tokens() * sizeof(TokenId);
    for (std::string const& words : request->echo_texts) weight += words.size();
  }
  return weight;
}

}  // namespace

Hash128 request_key(std::string_view custom_id) { return hash_text(custom_id); }

Hash128 duplicate_key(std::string_view custom_id, std::uint64_t line_number) {
  std::string both(custom_id);
  both += '\0';
  both += text(line_number);
  return hash_text(both);
}

BatchInput::BatchInput(std::unique_ptr<InputStream> stream, RequestRules const& rules, KeySet const& finished,
                       BatchInputConfig const& config)
    : stream_(std::move(stream)),
      rules_(rules),
      finished_(finished),
      config_(config),
      reader_(*stream_, config.max_line_bytes),
      queue_(config.look_ahead_bytes),
      thread_([this] { read_all(); }) {}

BatchInput::~BatchInput() {
  queue_.stop();
  stream_->stop();
}

void BatchInput::check() const {
  if (exhausted() && problem_) std::rethrow_exception(problem_);
}

std::optional<double> BatchInput::total_bytes() const {
  auto const stored = stream_->stored_bytes();
  auto const read = stream_->stored_bytes_read();
  if (!stored || read == 0) return std::nullopt;
  return double(*stored) * double(reader_.bytes_read()) / double(read);
}

void BatchInput::read_all() {
  try {
    JsonlLine line;
    while (reader_.next(line)) {
      PreparedLine prepared = prepare(line);
      if (finished_.contains(prepared.head.key)) {
        ++skipped_lines_;
        skipped_bytes_ += line.bytes;
        continue;
      }
      std::size_t const weight = weight_of(prepared);
      if (!queue_.push(std::move(prepared), weight)) break;
    }
  } catch (...) {
    problem_ = std::current_exception();
  }
  queue_.end();
}

/// Sets the record's id and key even where the line is wrong. A request that an earlier run answered is not tokenised.
PreparedLine BatchInput::prepare(JsonlLine const& line) {
  PreparedLine prepared{.head = {.custom_id = text("line-", line.number)}, .bytes = line.bytes};
  prepared.head.key = request_key(prepared.head.custom_id);
  std::optional<ApiError::Details> early;
  boost::json::object parsed;
  try {
    if (line.too_long)
      throw ApiError({.message = text("the line has more than ", config_.max_line_bytes,
                                      " bytes; split the request or "
                                      "raise --max-line-mib"),
                      .param = "",
                      .code = "line_too_long"});
    parsed = parse_strict_object(line.text);
    prepared.head.custom_id = custom_id_of(parsed, line.number);
    prepared.head.key = request_key(prepared.head.custom_id);
  } catch (ApiError const& error) {
    early = error.details();
  }
  if (!seen_.insert(prepared.head.key)) {
    prepared.head.key = duplicate_key(prepared.head.custom_id, line.number);
    early = {.message = text("line ", line.number, ": the custom_id '", prepared.head.custom_id,
                             "' was used by an earlier line; give every line its own"),
             .param = "custom_id",
             .code = "duplicate_custom_id"};
  }
  if (early) {
    prepared.content = *early;
  } else if (!finished_.contains(prepared.head.key)) {
    prepared.content = request_of(std::move(parsed), prepared.head.custom_id);
  }
  return prepared;
}

std::variant<ApiRequest, ApiError::Details> BatchInput::request_of(boost::json::object line,
                                                                   std::string_view custom_id) const {
  try {
    return parse_request(open_batch_line(std::move(line)), custom_id, rules_);
  } catch (ApiError const& error) {
    return error.details();
  } catch (InputError const& error) {
    return ApiError::Details{.message = error.what(), .param = "", .code = "invalid_value"};
  }
}

}  // namespace windlass
