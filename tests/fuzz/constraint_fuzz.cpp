/// Constraints: one byte for the kind, then a schema, a regular expression or a list of choices. Each compiles or is an
/// InputError; a text that is drawn from it token by token is never stuck, and JSON where it should be.
#include <boost/json.hpp>
#include <random>
#include <string_view>

#include "src/core/error.hpp"
#include "src/grammar/token_constraint.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

constexpr int walks = 3;
constexpr std::size_t max_text_bytes = 200, max_states = 20'000;

/// A byte that the mask allows; often one that ends something.
int draw(TokenMask const& mask, std::mt19937& random) {
  std::vector<int> bytes, ends;
  for (int byte = 0; byte < 256; ++byte)
    if (mask[std::size_t(byte) / 64] >> (byte % 64) & 1)
      (std::string_view("\"]},:").find(char(byte)) != std::string_view::npos ? ends : bytes).push_back(byte);
  auto const& from = bytes.empty() || (!ends.empty() && random() % 3 != 0) ? ends : bytes;
  return from.empty() ? -1 : from[random() % from.size()];
}

void walk(TokenConstraint& constraint, Constraint::Kind kind, std::mt19937& random) {
  std::string text;
  ConstraintPlace place = constraint.start();
  while (!constraint.must_end(place) && text.size() < max_text_bytes && constraint.states() < max_states) {
    if (constraint.may_end(place) && random() % 2 == 0) break;
    int const byte = draw(*constraint.allowed(place), random);
    if (byte < 0) ensure(constraint.may_end(place) || text.empty(), "a text is stuck");
    if (byte < 0) return;
    text += char(byte);
    place = constraint.after(place, TokenId(std::uint32_t(byte)));
  }
  if (!constraint.may_end(place) || kind == Constraint::Kind::regex || kind == Constraint::Kind::choice) return;
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = 1000;
  boost::json::parse(text, error, {}, options);
  ensure(!error, "a finished text is not JSON");
}

}  // namespace
}  // namespace windlass

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace windlass;
  using Kind = Constraint::Kind;
  if (size == 0 || size > 4000) return 0;
  Constraint const constraint{.kind = data[0] == 'r'   ? Kind::regex
                                      : data[0] == 'c' ? Kind::choice
                                                       : Kind::json_schema,
                              .source = std::string(reinterpret_cast<char const*>(data) + 1, size - 1)};
  static FakeTokenizer const tokenizer;
  static auto const tokens = std::make_shared<SortedTokens const>(tokenizer);
  try {
    TokenConstraint compiled(std::make_shared<grammar::Grammar const>(compile(constraint)), tokens);
    std::mt19937 random{std::uint32_t(size)};
    for (int i = 0; i < walks; ++i) walk(compiled, constraint.kind, random);
  } catch (InputError const&) {
  }
  return 0;
}
