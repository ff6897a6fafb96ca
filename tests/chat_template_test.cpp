/// Chat templates against transformers' and Jinja2's renderings (inputs/chat_templates).
#include "src/model/chat_template.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "src/core/error.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

std::string const folder = WINDLASS_SOURCE_DIR "/inputs/chat_templates/";

json::value read_json(std::string const& path) {
  std::ifstream file(path);
  return json::parse(std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()));
}

std::string text_of(json::value const& value) { return std::string(value.as_string()); }

/// The rendering, or "error: " and the message.
std::string outcome(std::string const& source, json::object const& variables) {
  try {
    return ChatTemplate(source, "template").render(variables);
  } catch (InputError const& error) {
    return std::string("error: ") + error.what();
  }
}

/// Holds `got` to what a case expects: a text, a message of raise_exception, or an error in a line.
void expect_outcome(json::object const& expected, std::string const& got) {
  if (json::value const* const rendered = expected.if_contains("text")) {
    EXPECT_EQ(got, rendered->as_string());
  } else if (json::value const* const raised = expected.if_contains("raised")) {
    EXPECT_EQ(got, "error: " + text_of(*raised));
  } else if (json::value const& line = expected.at("line"); line.is_null()) {
    EXPECT_TRUE(got.starts_with("error: template: line ")) << got;
  } else {
    std::string const start = "error: template: line " + std::to_string(line.as_int64()) + ": ";
    EXPECT_TRUE(got.starts_with(start)) << got << "\nis not in line " << line;
  }
}

class ModelTemplate : public testing::TestWithParam<std::string> {};

TEST_P(ModelTemplate, RendersEveryConversation) {
  json::value const model = read_json(folder + "models/" + GetParam() + ".json");
  json::value const given = read_json(folder + "conversations.json");
  ASSERT_GE(model.at("cases").as_array().size(), 12u);

  for (json::value const& item : model.at("cases").as_array()) {
    SCOPED_TRACE(json::serialize(item.at("conversation")) + json::serialize(item.at("variables")));
    json::object variables = item.at("variables").as_object();
    variables["tools"] = variables["tools"].as_bool() ? given.at("tools") : json::value(nullptr);
    variables["documents"] = nullptr;
    variables["messages"] = given.at("conversations").at(item.at("conversation").as_string());
    for (auto const& [key, token] : model.at("special_tokens").as_object()) variables[key] = token;

    expect_outcome(item.as_object(), outcome(text_of(model.at("template")), variables));
  }
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (auto const& entry : std::filesystem::directory_iterator(folder + "models"))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string as_test_name(std::string name) {
  for (char& c : name)
    if (c == '-' || c == '.') c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, ModelTemplate, testing::ValuesIn(model_names()),
                         [](auto const& info) { return as_test_name(info.param); });

TEST(TemplateLanguage, IsJinjas) {
  json::value const language = read_json(folder + "language.json");
  ASSERT_GE(language.at("cases").as_array().size(), 120u);

  for (json::value const& item : language.at("cases").as_array()) {
    SCOPED_TRACE(text_of(item.at("name")) + ": " + text_of(item.at("template")));
    expect_outcome(item.as_object(), outcome(text_of(item.at("template")), language.at("variables").as_object()));
  }
}

TEST(TemplateLanguage, RendersTheReferenceConversations) {
  json::value const model = read_json(folder + "models/smollm2.json");
  json::value const reference = read_json(WINDLASS_SOURCE_DIR "/inputs/reference/smollm2.json");
  ASSERT_GE(reference.at("chats").as_array().size(), 6u);

  for (json::value const& chat : reference.at("chats").as_array()) {
    json::object variables = model.at("special_tokens").as_object();
    variables["messages"] = chat.at("messages");
    variables["add_generation_prompt"] = chat.at("add_generation_prompt");
    EXPECT_EQ(outcome(text_of(model.at("template")), variables), chat.at("text").as_string());
  }
}

TEST(TemplateErrors, NameTheUnsupportedStatementAndItsLine) {
  EXPECT_EQ(outcome("a\n{% include 'x' %}", {}), "error: template: line 2: the tag {% include %} is not supported");
  EXPECT_NE(outcome("{{ x | nofilter }}", {}).find("nofilter"), std::string::npos);
  EXPECT_NE(outcome("\n{{ user.name }}", {}).find("'user' is undefined"), std::string::npos);
}

TEST(TemplateErrors, EndTemplatesThatNeverWould) {
  EXPECT_NE(outcome("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", {}).find("line 1"), std::string::npos);
  std::string const loops = "{% for a in range(99999) %}{% set x = 'a' * 20000 %}{% endfor %}";
  EXPECT_NE(outcome(loops, {}).find("more work"), std::string::npos);
  EXPECT_NE(outcome("{% set x = 'a' * 1000000000 %}", {}).find("error"), std::string::npos);
  std::string const brackets = "{{ " + std::string(100'000, '(') + "1" + std::string(100'000, ')') + " }}";
  EXPECT_NE(outcome(brackets, {}).find("line 1"), std::string::npos);
}

TEST(TemplateErrors, RefuseWhatIsNotUtf8) { EXPECT_NE(outcome("a\xFF", {}).find("UTF-8"), std::string::npos); }

TEST(TemplateFunctions, TellTheDate) {
  auto const year_now = [] {
    std::time_t const now = std::time(nullptr);
    return std::to_string(1900 + std::localtime(&now)->tm_year);
  };
  std::string const before = year_now();

  std::string const told = outcome("{{ strftime_now('%Y') }}", {});

  EXPECT_TRUE(told == before || told == year_now()) << told;
  EXPECT_EQ(outcome("{{ strftime_now is defined }}", {}), "True");
}

}  // namespace
}  // namespace windlass
