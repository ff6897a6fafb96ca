/// Chat templates and what they are given: a template, a line of dashes, and the variables as JSON. What is rendered
/// must be UTF-8, and the parser of tool calls must find the same in it whole and in pieces.
#include <boost/json.hpp>
#include <string_view>

#include "src/core/error.hpp"
#include "src/model/chat_template.hpp"
#include "src/model/tokenizer/unicode.hpp"
#include "src/model/tool_calls.hpp"

namespace {

constexpr std::string_view divider = "\n--------\n";

void check_tool_calls(std::string_view text, windlass::ToolCallFormat format) {
  windlass::ToolCallText pieces;
  windlass::ToolCallParser parser(format);
  auto const append = [&](windlass::ToolCallText part) {
    pieces.content += part.content;
    pieces.calls.insert(pieces.calls.end(), part.calls.begin(), part.calls.end());
  };
  for (std::size_t at = 0, bytes = 1; at < text.size(); at += bytes, bytes = bytes % 7 + 1)
    append(parser.add(text.substr(at, bytes)));
  append(parser.finish());
  windlass::ensure(pieces == windlass::parse_tool_calls(text, format), "tool calls depend on how the text is cut");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace windlass;
  std::string_view const input(reinterpret_cast<char const*>(data), size);
  std::size_t const end = input.find(divider);
  boost::json::error_code error;
  boost::json::value variables = nullptr;
  if (end != std::string_view::npos) variables = boost::json::parse(input.substr(end + divider.size()), error);
  if (!variables.is_object()) variables = {{"messages", boost::json::array{{{"role", "user"}, {"content", "Hi"}}}}};
  try {
    std::string const text = ChatTemplate(std::string(input.substr(0, end)), "fuzz").render(variables.get_object());
    ensure(first_invalid_utf8(text) == text.size(), "a template made text that is not UTF-8");
    for (auto const format : {ToolCallFormat::hermes, ToolCallFormat::llama3_json})
      if (text.size() < 20'000) check_tool_calls(text, format);
  } catch (InputError const&) {
  }
  return 0;
}
