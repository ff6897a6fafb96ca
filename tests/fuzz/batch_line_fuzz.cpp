/// Lines of a batch file: whatever the bytes, a request or an ApiError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "src/core/error.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/json_text.hpp"
#include "src/serve/openai_answer.hpp"
#include "src/serve/openai_request.hpp"
#include "src/serve/request_json.hpp"
#include "tests/fake_tokenizer.hpp"

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
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  try {
    auto line = parse_strict_object(text);
    std::string const id = custom_id_of(line, 1);
    ApiRequest const request = parse_request(open_batch_line(std::move(line)), id, rules);
    check(request.sampling);  // what is let through here must not be refused by the engine
    ensure(request.prompt_tokens() > 0, "an accepted request has no tokens");
  } catch (ApiError const& error) {
    ensure(is_utf8(error_record({.custom_id = "a"}, error.details())), "an error record is not UTF-8");
  }
  return 0;
}
