/// A batch's input: whatever the bytes, plain or compressed, each line is a request or an ApiError, and damaged
/// compression an InputError.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "src/core/error.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/decompress.hpp"
#include "src/serve/json_text.hpp"
#include "src/serve/jsonl_reader.hpp"
#include "src/serve/openai_answer.hpp"
#include "src/serve/openai_request.hpp"
#include "src/serve/request_json.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

constexpr std::size_t max_line_bytes = 4096, bytes_at_once = 77;

class MemoryStream final : public InputStream {
 public:
  explicit MemoryStream(std::string_view bytes) : bytes_(bytes) {}
  std::size_t read(std::span<char> space) override {
    std::size_t const count = std::min({space.size(), bytes_at_once, bytes_.size() - read_});
    std::copy_n(bytes_.data() + read_, count, space.data());
    read_ += count;
    return count;
  }
  void stop() override {}
  std::uint64_t stored_bytes_read() const override { return read_; }
  std::optional<std::uint64_t> stored_bytes() const override { return bytes_.size(); }

 private:
  std::string_view bytes_;
  std::size_t read_ = 0;
};

void read_request(JsonlLine const& line, RequestRules const& rules) {
  try {
    auto object = parse_strict_object(line.text);
    std::string const id = custom_id_of(object, line.number);
    ApiRequest const request = parse_request(open_batch_line(std::move(object)), id, rules);
    check(request.sampling);  // what is let through here must not be refused by the engine
    ensure(request.prompt_tokens() > 0, "an accepted request has no tokens");
  } catch (ApiError const& error) {
    ensure(is_utf8(error_record({.custom_id = "a"}, error.details())), "an error record is not UTF-8");
  }
}

}  // namespace
}  // namespace windlass

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace windlass;
  static FakeTokenizer const tokenizer;
  static RequestRules const rules{.model_name = "fuzz",
                                  .tokenizer = &tokenizer,
                                  .render_chat =
                                      [](boost::json::object const& variables) {
                                        return std::string(variables.at("messages").as_array().size(), 'm');
                                      },
                                  .vocab = 258,
                                  .max_model_len = 4096};
  std::string_view const bytes(reinterpret_cast<char const*>(data), size);
  try {
    auto const stream = decompressed(std::make_unique<MemoryStream>(bytes), compression_of(bytes), "fuzz");
    JsonlReader reader(*stream, max_line_bytes);
    for (JsonlLine line; reader.next(line);) {
      ensure(line.text.size() <= max_line_bytes, "a line is longer than the limit");
      read_request(line, rules);
    }
  } catch (InputError const&) {  // damaged or cut compression
  }
  return 0;
}
