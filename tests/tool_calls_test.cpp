#include "src/model/tool_calls.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace windlass {
namespace {

using enum ToolCallFormat;

/// What the parser makes of `text` in pieces of `bytes`.
ToolCallText in_pieces(std::string_view text, ToolCallFormat format, std::size_t bytes) {
  ToolCallParser parser(format);
  ToolCallText all;
  auto const append = [&](ToolCallText const& part) {
    all.content += part.content;
    all.calls.insert(all.calls.end(), part.calls.begin(), part.calls.end());
  };
  for (std::size_t at = 0; at < text.size(); at += bytes) append(parser.add(text.substr(at, bytes)));
  append(parser.finish());
  return all;
}

struct Case {
  char const* name;
  ToolCallFormat format;
  std::string text;
  ToolCallText expected;
};

std::string const weather = R"({"name": "weather", "arguments": {"city": "Zürich", "days": 1.50}})";
ToolCall const weather_call{"weather", R"({"city": "Zürich", "days": 1.50})"};

std::vector<Case> const cases = {
    {"PlainText", hermes, " no call \n", {" no call \n", {}}},
    {"EmptyText", hermes, "", {"", {}}},
    {"OneCall", hermes, "<tool_call>\n" + weather + "\n</tool_call>", {"", {weather_call}}},
    {"TextBeforeACall",
     hermes,
     "Let me see.\n\n<tool_call>" + weather + "</tool_call>\n",
     {"Let me see.", {weather_call}}},
    {"SpaceBeforeACallOnly", hermes, "\n<tool_call>" + weather + "</tool_call>", {"", {weather_call}}},
    {"SeveralCalls",
     hermes,
     "<tool_call>" + weather + "</tool_call>\n<tool_call>" + R"({"name":"now"})" + "</tool_call>",
     {"", {weather_call, {"now", "{}"}}}},
    {"TextBetweenAndBehind",
     hermes,
     "a <tool_call>" + weather + "</tool_call> b <tool_call>" + weather + "</tool_call>c ",
     {"a  b c", {weather_call, weather_call}}},
    {"ArgumentsAsText",
     hermes,
     R"(<tool_call>{"arguments": "{\"a\": [1, 2]}", "name": "f"}</tool_call>)",
     {"", {{"f", R"({"a": [1, 2]})"}}}},
    {"NullArguments", hermes, R"(<tool_call>{"name": "f", "arguments": null}</tool_call>)", {"", {{"f", "{}"}}}},
    {"ClosingTagInsideAString",
     hermes,
     R"(<tool_call>{"name": "f", "arguments": {"x": "</tool_call>\"{"}}</tool_call>)",
     {"", {{"f", R"({"x": "</tool_call>\"{"})"}}}},
    {"MissingClosingTagAtTheEnd", hermes, "<tool_call>" + weather + "\n", {"", {weather_call}}},
    {"CutClosingTagAtTheEnd", hermes, "<tool_call>" + weather + "</tool", {"", {weather_call}}},
    {"CutObjectIsText", hermes, R"(hm <tool_call>{"name": "f", "argu)", {R"(hm <tool_call>{"name": "f", "argu)", {}}},
    {"BadJsonIsText", hermes, "<tool_call>{\"name\": f}</tool_call> x", {"<tool_call>{\"name\": f}</tool_call> x", {}}},
    {"ArgumentsThatAreAListAreText",
     hermes,
     R"(<tool_call>{"name": "f", "arguments": []}</tool_call>)",
     {R"(<tool_call>{"name": "f", "arguments": []}</tool_call>)", {}}},
    {"NoNameIsText",
     hermes,
     R"(<tool_call>{"arguments": {}}</tool_call>)",
     {R"(<tool_call>{"arguments": {}}</tool_call>)", {}}},
    {"BadThenGood",
     hermes,
     "<tool_call>{\"name\"</tool_call>\n<tool_call>" + weather + "</tool_call>",
     {"<tool_call>{\"name\"</tool_call>", {weather_call}}},
    {"OpeningTagTwice", hermes, "<tool_call><tool_call>" + weather + "</tool_call>", {"<tool_call>", {weather_call}}},
    {"TextThatBeginsLikeATag", hermes, "a <tool_ b <tool_cal", {"a <tool_ b <tool_cal", {}}},
    {"NestedObjects",
     hermes,
     R"(<tool_call>{"name": "f", "arguments": {"a": {"name": "g"}, "b": [{}, "]"]}}</tool_call>)",
     {"", {{"f", R"({"a": {"name": "g"}, "b": [{}, "]"]})"}}}},
    {"Llama", llama3_json, R"({"name": "f", "parameters": {"x": "y"}})", {"", {{"f", R"({"x": "y"})"}}}},
    {"LlamaWithTag", llama3_json, "<|python_tag|>" + weather, {"", {weather_call}}},
    {"LlamaWithType", llama3_json, R"({"type": "function", "name": "f", "parameters": {}})", {"", {{"f", "{}"}}}},
    {"LlamaSeveral",
     llama3_json,
     weather + "; " + weather + "\n" + weather,
     {"", {weather_call, weather_call, weather_call}}},
    {"LlamaTextBefore", llama3_json, "I will look.\n" + weather, {"I will look.", {weather_call}}},
    {"LlamaTextBehind", llama3_json, weather + " done", {"done", {weather_call}}},
    {"LlamaJsonInsideALineIsText", llama3_json, "like " + weather, {"like " + weather, {}}},
    {"LlamaTagInsideALine", llama3_json, "so: <|python_tag|>" + weather, {"so:", {weather_call}}},
    {"LlamaOtherJsonIsText", llama3_json, R"({"city": "Bern", "name": 1})", {R"({"city": "Bern", "name": 1})", {}}},
    {"LlamaNameAloneIsText", llama3_json, R"({"name": "Bern"})", {R"({"name": "Bern"})", {}}},
    {"LlamaCodeIsText", llama3_json, "int f()\n{\n  return 0;\n}\n", {"int f()\n{\n  return 0;\n}\n", {}}},
    {"LlamaTagBeforeCodeIsText", llama3_json, "<|python_tag|>print(1)", {"<|python_tag|>print(1)", {}}},
    {"LlamaCutIsText", llama3_json, R"({"name": "f", "parameters": {)", {R"({"name": "f", "parameters": {)", {}}},
};

class ToolCalls : public testing::TestWithParam<Case> {};

TEST_P(ToolCalls, AreFoundInAWholeText) {
  EXPECT_EQ(parse_tool_calls(GetParam().text, GetParam().format), GetParam().expected)
      << parse_tool_calls(GetParam().text, GetParam().format).content;
}

TEST_P(ToolCalls, AreTheSameHoweverTheTextArrives) {
  for (std::size_t const bytes : {1, 2, 3, 7, 20})
    EXPECT_EQ(in_pieces(GetParam().text, GetParam().format, bytes), GetParam().expected) << bytes;
}

INSTANTIATE_TEST_SUITE_P(Texts, ToolCalls, testing::ValuesIn(cases), [](auto const& info) { return info.param.name; });

TEST(ToolCallParser, PassesTextOnAtOnce) {
  ToolCallParser parser(hermes);

  EXPECT_EQ(parser.add("Hello ").content, "Hello");
  EXPECT_EQ(parser.add("world <").content, " world");
  EXPECT_EQ(parser.add("b>").content, " <b>");
}

TEST(ToolCallParser, GivesACallAsSoonAsItIsComplete) {
  ToolCallParser parser(hermes);

  EXPECT_TRUE(parser.add("<tool_call>" + weather + "</tool_call").calls.empty());
  EXPECT_EQ(parser.add(">").calls, std::vector{weather_call});
}

TEST(ToolCallParser, PassesOtherObjectsOnBeforeTheyEnd) {
  ToolCallParser parser(llama3_json);

  EXPECT_EQ(parser.add("{\"cit").content, "{\"cit");
}

TEST(ToolCalls, OfManyBrokenOnesTakeLittleTime) {
  std::string broken;
  for (int i = 0; i < 20'000; ++i) broken += "<tool_call>{\"name\": \"f\", ";

  EXPECT_EQ(parse_tool_calls(broken, hermes).content, broken.substr(0, broken.size() - 1) + " ");
}

TEST(ToolCalls, FormatIsKnownFromTheTemplate) {
  EXPECT_EQ(tool_call_format_of("…<tool_call>\n{\"name\": …"), hermes);
  EXPECT_EQ(tool_call_format_of("<|start_header_id|>ipython … '\"parameters\": '"), llama3_json);
  EXPECT_EQ(tool_call_format_of("<tool_call>\n<function=name>"), std::nullopt);
  EXPECT_EQ(tool_call_format_of("{{ messages }}"), std::nullopt);
}

}  // namespace
}  // namespace windlass
