// Constraints: regular expressions and JSON schemas as automata over bytes, and tokens that fit them.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/grammar/byte_automaton.hpp"
#include "src/grammar/token_constraint.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

using Kind = Constraint::Kind;
using Texts = std::vector<std::string>;
using grammar::ByteAutomaton;
using grammar::Grammar;

ByteAutomaton automaton(Constraint const& constraint) {
  return ByteAutomaton(std::make_shared<Grammar const>(compile(constraint)));
}

bool fits(ByteAutomaton& automaton, std::string const& text) {
  auto state = automaton.start();
  for (char const byte : text) state = automaton.next(state, static_cast<unsigned char>(byte));
  return automaton.accepts(state);
}

void expect_fits(Constraint const& constraint, Texts const& good, Texts const& bad) {
  auto compiled = automaton(constraint);
  for (std::string const& text : good) EXPECT_TRUE(fits(compiled, text)) << constraint.source << " refuses " << text;
  for (std::string const& text : bad) EXPECT_FALSE(fits(compiled, text)) << constraint.source << " takes " << text;
}

void expect_schema(std::string const& schema, Texts const& good, Texts const& bad) {
  expect_fits({.kind = Kind::json_schema, .source = schema}, good, bad);
}

std::string problem(Constraint const& constraint) {
  try {
    compile(constraint);
    return "";
  } catch (InputError const& error) {
    return error.what();
  }
}

TEST(Regex, FitsWholeTexts) {
  auto const expect = [](char const* regex, Texts const& good, Texts const& bad) {
    expect_fits({.kind = Kind::regex, .source = regex}, good, bad);
  };
  expect("a|bc*", {"a", "b", "bccc"}, {"", "ab", "ac"});
  expect("(?:ab){2,3}?x?", {"abab", "ababab", "ababx"}, {"ab", "abababab", "x"});
  expect("^[^a-c\\d]+$", {"xyz", "é", "\n"}, {"xa", "1", ""});
  expect("(?P<year>\\d{4})-(?<month>[01]\\d)", {"2024-12"}, {"2024-1", "24-12", "2024-22"});
  expect("[\\w.-]+@\\w+\\.(com|org)", {"a.b-c@d.org"}, {"@d.org", "a@d.net"});
  expect("\\u00e9|\\x41|\\ud83d\\ude00", {"é", "A", "😀"}, {"e"});
  expect(".", {"a", "é", "€", "😀"}, {"\n", "ab", "\xff", "\xe2\x82", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"});
  expect("[α-ω]{1,2}", {"α", "μω"}, {"Ω", "αβγ"});
  expect("", {""}, {"a"});
  expect("(a*)*b", {"b", "aaab"}, {"a"});
}

TEST(Regex, WhatAutomataCannotFollowIsRefusedByName) {
  auto const refused = [](char const* regex) { return problem({.kind = Kind::regex, .source = regex}); };
  EXPECT_NE(refused("(?=a)").find("(?:…)"), std::string::npos);
  EXPECT_NE(refused("(?<!a)b").find("character 1"), std::string::npos);
  EXPECT_NE(refused("(a)\\1").find("back references"), std::string::npos);
  EXPECT_NE(refused("a\\b").find("\\b"), std::string::npos);
  EXPECT_NE(refused("a{3,2}").find("n <= m"), std::string::npos);
  EXPECT_NE(refused("(a").find("not closed"), std::string::npos);
  EXPECT_NE(refused("a)").find("closes nothing"), std::string::npos);
  EXPECT_NE(refused("*a").find("nothing to repeat"), std::string::npos);
  EXPECT_NE(refused("[z-a]").find("low to high"), std::string::npos);
  EXPECT_NE(refused("a^b").find("ends"), std::string::npos);
  EXPECT_NE(refused("((a{1000}){1000}){1000}").find("smaller counts"), std::string::npos);
  EXPECT_NE(refused("[\xff]").find("UTF-8"), std::string::npos);
  EXPECT_NE(refused("([a-z]?){0,2000}x").find("ways at once"), std::string::npos);
}

TEST(Choice, TakesTheChoicesAlone) {
  expect_fits({.kind = Kind::choice, .source = R"(["yes", "yes!", "no"])"}, {"yes", "yes!", "no"}, {"", "ye", "maybe"});
  EXPECT_NE(problem({.kind = Kind::choice, .source = "[]"}), "");
  EXPECT_NE(problem({.kind = Kind::choice, .source = R"(["a", 3])"}), "");
}

TEST(JsonObject, IsAnyObject) {
  expect_fits(
      {.kind = Kind::json_object},
      {"{}", R"({"a":[1,-2.5e3,true,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":{}}})", "{\n  \"a\": 1,\n  \"b\": []\n}"},
      {"[]", "1", "{,}", "{\"a\":01}", "{\"a\":.5}", "{\"a\":\"\n\"}", "{\"a\":\"\\ud83d\"}", "{\"a\" 1}",
       "{\"a\":1,}"});
}

TEST(Schema, ObjectsHaveTheirPropertiesInOrder) {
  expect_schema(
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"},"c":{"type":"null"}},
                   "required":["b"]})",
      {R"({"a":1,"b":true,"c":null})", R"({"b":false})", R"({ "b": false })", R"({"b":true,"c":null})"},
      {"{}", R"({"a":1})", R"({"b":true,"a":1})", R"({"b":1})", R"({"b":true,"d":1})", R"({"b":true,"b":true})"});
  expect_schema(R"({"type":"object","properties":{"ab":{"const":1}},"additionalProperties":{"type":"string"}})",
                {"{}", R"({"ab":1,"a":"x","abc":"y","":"z"})", R"({"x":"y"})"},
                {R"({"ab":"x"})", R"({"a":1})", R"({"a":"x","ab":1})", R"({"\u0061b":"x"})"});
  expect_schema(R"({"required":["x"]})", {R"({"x":[1]})"}, {"{}", "3"});
  expect_schema(R"({"properties":{"a":false,"b":true}})", {"{}", R"({"b":[]})"}, {R"({"a":1})"});
}

TEST(Schema, ArraysHaveTheirLengths) {
  expect_schema(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
                {"[1]", "[1,2]", "[1, 2, 3]", "[\n1]"}, {"[]", "[1,2,3,4]", "[1,]", "[true]"});
  expect_schema(R"({"items":{"const":0}})", {"[]", "[0,0,0,0,0,0,0]"}, {"[1]"});
  expect_schema(R"({"type":"array","prefixItems":[{"const":1},{"const":2}],"items":{"const":3},"minItems":1})",
                {"[1]", "[1,2]", "[1,2,3,3]"}, {"[]", "[2]", "[1,2,4]"});
  expect_schema(R"({"type":"array","prefixItems":[{"const":1}],"maxItems":5})", {"[]", "[1]"}, {"[1,2]"});
  expect_schema(R"({"type":"array","maxItems":0})", {"[]", "[ ]"}, {"[1]"});
  expect_schema(R"({"type":"array","items":false})", {"[]"}, {"[1]"});
}

TEST(Schema, StringsCountCharactersAndKeepPatterns) {
  expect_schema(R"({"type":"string","minLength":1,"maxLength":2})",
                {R"("a")", R"("éé")", R"("😀\n")", R"("\ud83d\ude00\u0041")"},
                {R"("")", R"("abc")", R"("\ude00")", "\"\n\""});
  expect_schema(R"({"type":"string","pattern":"^a+$"})", {R"("aa")"}, {R"("")", R"("ab")", R"("\u0061")"});
  expect_schema(R"({"type":"string","pattern":"b|^c"})", {R"("abc")", R"("cx")", R"("b\"")"}, {R"("a")", R"("ac")"});
  expect_schema(R"({"type":"string","pattern":"^\\W\\s$"})", {R"("\"\n")", R"("\\ ")"}, {"\"\"\n\""});
  expect_schema(R"({"type":"string","pattern":"^[ab]*$","minLength":2,"maxLength":3})", {R"("ab")", R"("bbb")"},
                {R"("a")", R"("aaaa")", R"("ac")"});
  expect_schema(R"({"type":"string","format":"date"})", {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
                {R"("2023-02-29")", R"("1900-02-29")", R"("2024-04-31")", R"("24-01-01")"});
  expect_schema(R"({"format":"ipv4"})", {R"("255.0.10.1")"}, {R"("256.0.0.1")", R"("1.2.3")"});
  expect_schema(R"({"enum":["a\"b","é",1.5,null,{"x":[]}]})", {R"("a\"b")", "\"é\"", "1.5", "null", R"({"x":[]})"},
                {"1", "\"a\""});
  expect_schema(R"({"type":["integer","string"],"enum":["a",1.5,2]})", {"\"a\"", "2"}, {"1.5"});
}

TEST(Schema, AlternativesAndReferences) {
  expect_schema(R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})", {"1", R"("a")"},
                {"true", R"("ab")"});
  expect_schema(
      R"({"type":"object","properties":{"a":{"const":1}},"anyOf":[{"required":["a"]},{"properties":{"b":{"const":2}}}]})",
      {R"({"a":1})", R"({"b":2})", R"({"a":1,"b":2})"}, {R"({"b":1})"});
  expect_schema(
      R"({"$defs":{"node":{"type":"object","properties":{"v":{"const":1},"next":{"anyOf":[{"$ref":"#/$defs/node"},
                   {"type":"null"}]}},"required":["v","next"]}},"$ref":"#/$defs/node"})",
      {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":1,"next":null}})"}, {R"({"v":1})", "null"});
  expect_schema(R"({"allOf":[{"minimum":3,"type":"number"},{"maximum":5,"type":"integer"}]})", {"3", "5"},
                {"2", "6", "4.5"});
  expect_schema(R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"}},"required":["k"]},
                   {"type":"object","properties":{"k":{"const":"b"},"n":{"type":"null"}},"required":["k"]}]})",
                {R"({"k":"a"})", R"({"k":"b","n":null})"}, {R"({"k":"a","n":null})", R"({"k":"c"})"});
  expect_schema("true", {"1", "[]", R"("x")"}, {"", "x"});
}

TEST(Schema, WithoutSpacesWhereTheyAreNotWanted) {
  expect_fits({.kind = Kind::json_schema, .source = R"({"type":"array"})", .spacing = JsonSpacing::none}, {"[1,2]"},
              {"[1, 2]", "[ ]"});
}

TEST(Schema, WhatIsNotSupportedIsNamed) {
  auto const refused = [](char const* schema) { return problem({.kind = Kind::json_schema, .source = schema}); };
  EXPECT_NE(refused(R"({"type":"object","minProperties":1})").find("'minProperties'"), std::string::npos);
  EXPECT_NE(refused(R"({"items":{"not":{}}})").find("'not'"), std::string::npos);
  EXPECT_NE(refused(R"({"type":"strings"})").find("'type'"), std::string::npos);
  EXPECT_NE(refused(R"({"format":"colour"})").find("'format'"), std::string::npos);
  EXPECT_NE(refused(R"({"$ref":"#/$defs/x"})").find("#/$defs/x"), std::string::npos);
  EXPECT_NE(refused(R"({"$ref":"#"})").find("circle"), std::string::npos);
  EXPECT_NE(refused(R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})").find("before any"), std::string::npos);
  EXPECT_NE(refused(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})").find("no finite"),
            std::string::npos);
  EXPECT_NE(refused(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})").find("'oneOf'"), std::string::npos);
  EXPECT_NE(refused(R"({"type":"integer","minimum":1.2,"maximum":1.8})").find("no finite"), std::string::npos);
  EXPECT_NE(refused(R"({"minLength":3,"maxLength":2})").find("'minLength'"), std::string::npos);
  EXPECT_NE(refused("{\"type\":").find("JSON"), std::string::npos);
  EXPECT_NE(refused("3").find("object"), std::string::npos);
  EXPECT_NE(refused(R"({"$defs":{"a":{"$ref":"#/$defs/a","minimum":1}},"$ref":"#/$defs/a"})").find("circle"),
            std::string::npos);
}

/// Bounds of a random schema and what they allow.
struct Bounds {
  std::optional<double> minimum, maximum, above, below;
  int multiple = 0;
  bool integer = false;

  std::string schema() const {
    std::string out = integer ? R"({"type":"integer")" : R"({"type":"number")";
    auto const add = [&](char const* key, std::optional<double> value) {
      if (value) out += text(",\"", key, "\":", *value);
    };
    add("minimum", minimum), add("maximum", maximum), add("exclusiveMinimum", above), add("exclusiveMaximum", below);
    if (multiple > 0) out += text(",\"multipleOf\":", multiple);
    return out + "}";
  }
  bool allow(double x) const {
    bool const whole = std::trunc(x) == x;
    return !(minimum && x < *minimum) && !(maximum && x > *maximum) && !(above && x <= *above) &&
           !(below && x >= *below) && !(multiple > 0 && (!whole || std::fmod(x, multiple) != 0)) &&
           !(integer && !whole);
  }
};

TEST(Numbers, AreThoseWithinTheBounds) {
  std::mt19937 random(7);
  auto const some = [&](double least, double step) -> std::optional<double> {
    if (random() % 3 == 0) return std::nullopt;
    return least + double(random() % 200) * step;
  };
  int refused = 0;
  for (int round = 0; round < 150; ++round) {
    double const step = round % 2 ? 1 : 0.25;
    Bounds bounds{.integer = random() % 2 == 0};
    (random() % 2 ? bounds.minimum : bounds.above) = some(-120 * step, step);
    (random() % 2 ? bounds.maximum : bounds.below) = some(-20 * step, step);
    if (random() % 3 == 0) bounds.multiple = 1 + int(random() % 12);
    Constraint const constraint{.kind = Kind::json_schema, .source = bounds.schema()};
    if (problem(constraint) != "") {
      ++refused;
      for (double x = -150; x <= 250; x += 0.25) ASSERT_FALSE(bounds.allow(x)) << bounds.schema() << " allows " << x;
      continue;
    }
    auto compiled = automaton(constraint);
    for (int i = -600; i <= 1000; ++i) {
      std::string const digits = text(double(i) / 4);
      bool const written = digits.find('.') == std::string::npos || !(bounds.integer || bounds.multiple);
      ASSERT_EQ(fits(compiled, digits), written && bounds.allow(double(i) / 4)) << bounds.schema() << " and " << digits;
    }
    for (char const* const wrong : {"-0", "01", "1.", "+1", "--1", "", "-"}) {
      bool const free_number = bounds.schema().find(',') == std::string::npos;
      ASSERT_FALSE(fits(compiled, wrong) && !(free_number && wrong == std::string("-0"))) << bounds.schema() << wrong;
    }
  }
  EXPECT_LT(refused, 60);
}

/// A text that the constraint allows, drawn byte by byte; nothing if it gets too long.
std::optional<std::string> random_text(Constraint const& constraint, std::mt19937& random) {
  auto compiled = automaton(constraint);
  std::string out;
  for (auto state = compiled.start(); out.size() < 2000;) {
    std::vector<unsigned char> usual, ends;
    for (unsigned byte = 0; byte < 256; ++byte) {
      if (compiled.next(state, static_cast<unsigned char>(byte)) == grammar::dead_state) continue;
      (std::string("\"]},:").find(char(byte)) != std::string::npos ? ends : usual)
          .push_back(static_cast<unsigned char>(byte));
    }
    if (compiled.accepts(state) && (usual.empty() || random() % 2)) return out;
    EXPECT_FALSE(usual.empty() && ends.empty()) << constraint.source << " is stuck behind " << out;
    auto const& from = usual.empty() || (!ends.empty() && random() % 4 != 0) ? ends : usual;
    if (from.empty()) return std::nullopt;
    out += char(from[random() % from.size()]);
    state = compiled.next(state, static_cast<unsigned char>(out.back()));
  }
  return std::nullopt;
}

TEST(JsonObject, RandomOnesAreJson) {
  std::mt19937 random(3);
  int finished = 0;
  for (int round = 0; round < 100; ++round) {
    auto const text = random_text({.kind = Kind::json_object}, random);
    if (!text) continue;
    ++finished;
    boost::json::parse_options options;
    options.max_depth = 2000;
    EXPECT_TRUE(boost::json::parse(*text, {}, options).is_object()) << *text;
  }
  EXPECT_GT(finished, 50);
}

/// Tokens of several bytes, one of them never whole, and spaces that are dropped at the start.
class WordTokenizer final : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view, AddSpecial) const override { return {}; }
  std::string_view bytes(TokenId token) const override { return words[number(token)]; }
  bool is_special(TokenId token) const override { return number(token) == 0; }
  int vocab() const override { return int(words.size()); }
  std::vector<TokenId> end_tokens() const override { return {TokenId{0}}; }
  std::string_view bos_text() const override { return ""; }
  std::string_view eos_text() const override { return words[0]; }
  bool drops_first_space() const override { return true; }

  std::vector<std::string> const words = {"</s>", "",   " ",    "a",    " a",    "ab",    " ab",   "abc",
                                          "b",    "ba", "\xc3", "\xa9", "é",     "aé",    "a\xc3", "{",
                                          "{\"",  " {", "\"",   "\":",  "\":1}", "\"a\"", "1}",    "  a"};
};

TEST(TokenConstraint, MasksAreWhatTheBytesSay) {
  WordTokenizer const tokenizer;
  auto const tokens = std::make_shared<SortedTokens const>(tokenizer);
  for (Constraint const& constraint :
       {Constraint{.kind = Kind::regex, .source = "( ?a(b|é)*)+"}, Constraint{.kind = Kind::regex, .source = " a|ab"},
        Constraint{.kind = Kind::json_object}}) {
    auto const grammar = std::make_shared<Grammar const>(compile(constraint));
    TokenConstraint compiled(grammar, tokens);
    ByteAutomaton bytes(grammar);
    std::mt19937 random(5);
    for (int walk = 0; walk < 30; ++walk) {
      ConstraintPlace place = compiled.start();
      auto state = bytes.start();
      for (int step = 0; step < 12; ++step) {
        auto const mask = compiled.allowed(place);
        std::vector<std::pair<TokenId, grammar::State>> fitting;
        for (std::uint32_t id = 0; id < std::uint32_t(tokenizer.vocab()); ++id) {
          std::string_view word = tokenizer.words[id];
          bool const empty = id == 0 || word.empty();
          if (step == 0 && word.starts_with(' ')) word.remove_prefix(1);
          auto next = state;
          for (char const byte : word) next = bytes.next(next, static_cast<unsigned char>(byte));
          bool const allowed = ((*mask)[id / 64] >> (id % 64) & 1) != 0;
          ASSERT_EQ(allowed, !empty && next != grammar::dead_state)
              << constraint.source << " step " << step << " " << id;
          if (allowed) fitting.emplace_back(TokenId(id), next);
        }
        ASSERT_EQ(compiled.may_end(place), bytes.accepts(state));
        if (fitting.empty()) break;
        auto const [token, next] = fitting[random() % fitting.size()];
        place = compiled.after(place, token);
        state = next;
      }
    }
  }
}

TEST(ConstraintCache, CompilesEqualConstraintsOnce) {
  FakeTokenizer const tokenizer;
  ConstraintCache cache(&tokenizer);
  Constraint const digits{.kind = Kind::regex, .source = "[0-9]"};

  auto const first = cache.find(digits), second = cache.find(digits), other = cache.find({.kind = Kind::json_object});

  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
  EXPECT_THROW(ConstraintCache(nullptr).find(digits), InputError);
}

}  // namespace
}  // namespace windlass
