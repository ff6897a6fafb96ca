#include "src/model/tokenizer/regex.hpp"

#include "src/core/error.hpp"
#include "src/core/text.hpp"

#ifdef WINDLASS_HAS_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

namespace windlass {

Pattern Pattern::literal(std::string text) {
  if (text.empty()) throw InputError("tokenizer: a pattern to split or replace at is empty; give it at least one byte");
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

namespace {
std::optional<TextRange> find_literal(std::string_view literal, std::string_view text, std::size_t from) {
  std::size_t const at = text.find(literal, from);
  if (at == std::string_view::npos) return std::nullopt;
  return TextRange{at, at + literal.size()};
}
}  // namespace

#ifdef WINDLASS_HAS_PCRE2

namespace {
struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};

std::string pcre2_message(int error) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(error, buffer, sizeof buffer);
  return reinterpret_cast<char const*>(buffer);
}

constexpr std::size_t first_jit_stack_bytes = 64 << 10;
constexpr std::size_t max_jit_stack_bytes = 64 << 20;
constexpr std::uint32_t max_heap_kib = 256 << 10;  ///< of the interpreter, where there is no JIT
}  // namespace

struct Pattern::Code {
  std::unique_ptr<pcre2_code, Free> code;
  bool jit = false;
};

struct Pattern::Search::State {
  std::unique_ptr<pcre2_match_data, Free> match;
  std::unique_ptr<pcre2_match_context, Free> context;
  std::unique_ptr<pcre2_jit_stack, Free> stack;  ///< made when the small default proves too small
};

Pattern Pattern::regex(std::string const& expression) {
  std::string const translated = to_pcre2_dialect(expression);
  int error = 0;
  std::size_t place = 0;
  // Ruby's ^ and $ match at every line; texts are checked to be UTF-8 before they come here.
  auto const options = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_MULTILINE;
  pcre2_code* const compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                             options, &error, &place, nullptr);
  if (!compiled)
    throw InputError(text("tokenizer: the regular expression '", expression,
                          "' is not supported: ", pcre2_message(error), " (near byte ", place, ")"));
  auto code = std::make_shared<Code>();
  code->code.reset(compiled);
  code->jit = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0;
  Pattern pattern;
  pattern.expression_ = expression;
  pattern.code_ = std::move(code);
  return pattern;
}

Pattern::Search::Search(Pattern const& pattern) : pattern_(&pattern) {
  if (!pattern.code_) return;
  state_ = std::make_unique<State>();
  state_->match.reset(pcre2_match_data_create(1, nullptr));
  state_->context.reset(pcre2_match_context_create(nullptr));
  if (!state_->match || !state_->context) throw std::bad_alloc();
  pcre2_set_heap_limit(state_->context.get(), max_heap_kib);
}

std::optional<TextRange> Pattern::Search::next(std::string_view text, std::size_t from) {
  if (!pattern_->code_) return find_literal(pattern_->literal_, text, from);
  auto const attempt = [&] {
    auto const* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    auto* const code = pattern_->code_->code.get();
    if (pattern_->code_->jit)
      return pcre2_jit_match(code, subject, text.size(), from, 0, state_->match.get(), state_->context.get());
    return pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, state_->match.get(),
                       state_->context.get());
  };
  int found = attempt();
  if (found == PCRE2_ERROR_JIT_STACKLIMIT && !state_->stack) {
    state_->stack.reset(pcre2_jit_stack_create(first_jit_stack_bytes, max_jit_stack_bytes, nullptr));
    pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
    found = attempt();
  }
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0)
    throw InputError(windlass::text("tokenizer: the regular expression '", pattern_->expression_,
                                    "' cannot be matched against a text of ", text.size(),
                                    " bytes: ", pcre2_message(found), "; send the text in smaller parts"));
  auto const* const ends = pcre2_get_ovector_pointer(state_->match.get());
  return TextRange{ends[0], ends[1]};
}

#else

struct Pattern::Code {};
struct Pattern::Search::State {};

Pattern Pattern::regex(std::string const&) {
  throw InputError(
      "this tokenizer splits text by regular expressions, and this build of Windlass lacks PCRE2; install "
      "libpcre2-dev and build with -DWINDLASS_PCRE2=ON, or send token ids");
}

Pattern::Search::Search(Pattern const& pattern) : pattern_(&pattern) {}

std::optional<TextRange> Pattern::Search::next(std::string_view text, std::size_t from) {
  return find_literal(pattern_->literal_, text, from);
}

#endif

Pattern::Search::~Search() = default;

}  // namespace windlass
