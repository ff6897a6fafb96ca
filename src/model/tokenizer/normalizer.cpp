#include "src/model/tokenizer/normalizer.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/model/tokenizer/unicode.hpp"

#ifdef WINDLASS_HAS_UTF8PROC
#include <utf8proc.h>
#endif

namespace windlass {

namespace {
template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// The end of the characters, from `from` on, of which `belongs` is true.
template <bool (*belongs)(char32_t)>
std::size_t stretch_end(std::string_view text, std::size_t from) {
  while (from < text.size()) {
    Character const next = first_character(text.substr(from));
    if (!belongs(next.code)) break;
    from += std::size_t(next.bytes);
  }
  return from;
}

[[noreturn, maybe_unused]] void lacks_utf8proc() {
  throw InputError(
      "this text or tokenizer needs Unicode tables, and this build of Windlass lacks utf8proc; install "
      "libutf8proc-dev and build with -DWINDLASS_UTF8PROC=ON");
}

std::string replace_all(std::string_view text, Replace const& step) {
  Pattern::Search search(step.pattern);
  std::string out;
  std::size_t copied = 0, from = 0;
  while (from <= text.size()) {
    auto const match = search.next(text, from);
    if (!match) break;
    out.append(text, copied, match->begin - copied).append(step.content);
    copied = from = match->end;
    if (match->begin != match->end) continue;
    if (from == text.size()) break;
    from += std::size_t(first_character(text.substr(from)).bytes);
  }
  return out.append(text.substr(copied));
}

std::string_view strip(std::string_view text, StripSide side) {
  while (side != StripSide::right && !text.empty() && is_space(first_character(text).code))
    text.remove_prefix(std::size_t(first_character(text).bytes));
  while (side != StripSide::left && !text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && is_continuation(text[last])) --last;
    if (!is_space(first_character(text.substr(last)).code)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string collapse_spaces(std::string_view text) {
  std::string out;
  for (char const c : text)
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}
}  // namespace

#ifdef WINDLASS_HAS_UTF8PROC

namespace {
using CodePoints = std::vector<utf8proc_int32_t>;

int combining_class(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

/// Canonical decomposition (or compatibility), combining marks in canonical order. utf8proc_decompose's own ordering
/// takes quadratic time on long runs of marks.
CodePoints decompose(std::string_view text, int options) {
  CodePoints codes;
  codes.reserve(text.size());
  utf8proc_int32_t buffer[32];
  int last_boundary_class = 0;
  while (!text.empty()) {
    Character const next = first_character(text);
    text.remove_prefix(std::size_t(next.bytes));
    auto const count = utf8proc_decompose_char(utf8proc_int32_t(next.code), buffer, 32,
                                               utf8proc_option_t(options | UTF8PROC_DECOMPOSE), &last_boundary_class);
    ensure(count >= 0 && count <= 32, "utf8proc: a character's decomposition has at most 18 characters");
    codes.insert(codes.end(), buffer, buffer + count);
  }
  for (auto begin = codes.begin(); begin != codes.end();) {
    auto const is_starter = [](auto code) { return combining_class(code) == 0; };
    auto const first = std::find_if_not(begin, codes.end(), is_starter);
    auto const last = std::find_if(first, codes.end(), is_starter);
    std::stable_sort(first, last, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = last;
  }
  return codes;
}

std::string encode(CodePoints const& codes) {
  std::string out;
  out.reserve(codes.size());
  for (auto const code : codes) append_utf8(out, char32_t(code));
  return out;
}

std::string map_characters(std::string_view text, utf8proc_int32_t (*map)(utf8proc_int32_t)) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    Character const next = first_character(text);
    if (next.code == 0xDF && map == utf8proc_toupper) {
      out += "SS";  // the one letter in common use whose upper case is two
    } else {
      append_utf8(out, char32_t(map(utf8proc_int32_t(next.code))));
    }
    text.remove_prefix(std::size_t(next.bytes));
  }
  return out;
}

std::string strip_accents(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    Character const next = first_character(text);
    if (utf8proc_category(utf8proc_int32_t(next.code)) != UTF8PROC_CATEGORY_MN) append_utf8(out, next.code);
    text.remove_prefix(std::size_t(next.bytes));
  }
  return out;
}

std::string whole_to_normal_form(std::string_view text, NormalForm form) {
  bool const compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  bool const compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  CodePoints codes = decompose(text, compatible ? UTF8PROC_COMPAT : 0);
  if (!compose) return encode(codes);
  auto const count = utf8proc_normalize_utf32(codes.data(), utf8proc_ssize_t(codes.size()),
                                              utf8proc_option_t(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  ensure(count >= 0, "utf8proc: composing decomposed text cannot fail");
  codes.resize(std::size_t(count));
  return encode(codes);
}

bool is_not_inert(char32_t code) { return !is_nfc_inert(code); }

/// Copies what is inert; of the rest, each stretch is composed on its own, with the character that it may join.
std::string to_nfc(std::string_view text) {
  std::string out;
  std::size_t copied = 0;
  for (;;) {
    std::size_t const inert_end = stretch_end<is_nfc_inert>(text, copied);
    if (inert_end == text.size()) break;
    std::size_t begin = inert_end;
    while (begin > copied && is_continuation(text[--begin])) {
    }
    std::size_t const end = stretch_end<is_not_inert>(text, inert_end);
    out.append(text, copied, begin - copied);
    out += whole_to_normal_form(text.substr(begin, end - begin), NormalForm::nfc);
    copied = end;
  }
  return out.append(text.substr(copied));
}
}  // namespace

std::string to_normal_form(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  return form == NormalForm::nfc ? to_nfc(text) : whole_to_normal_form(text, form);
}

std::string to_lower(std::string_view text) { return map_characters(text, utf8proc_tolower); }
std::string to_upper(std::string_view text) { return map_characters(text, utf8proc_toupper); }

#else

namespace {
std::string strip_accents(std::string_view text) { return is_ascii(text) ? std::string(text) : (lacks_utf8proc(), ""); }

std::string map_ascii(std::string_view text, char first, char shift) {
  if (!is_ascii(text)) lacks_utf8proc();
  std::string out(text);
  for (char& c : out)
    if (c >= first && c < first + 26) c = char(c + shift);
  return out;
}
}  // namespace

std::string to_normal_form(std::string_view text, NormalForm form) {
  if (!is_ascii(text) && !(form == NormalForm::nfc && stretch_end<is_nfc_inert>(text, 0) == text.size()))
    lacks_utf8proc();
  return std::string(text);
}

std::string to_lower(std::string_view text) { return map_ascii(text, 'A', 'a' - 'A'); }
std::string to_upper(std::string_view text) { return map_ascii(text, 'a', 'A' - 'a'); }

#endif

void Normalizer::add(NormalizerStep step) {
#ifndef WINDLASS_HAS_UTF8PROC
  bool const needs_tables = std::holds_alternative<NormalizeForm>(step) || std::holds_alternative<Lowercase>(step) ||
                            std::holds_alternative<StripAccents>(step);
  if (needs_tables) lacks_utf8proc();
#endif
  steps_.push_back(std::move(step));
}

std::string Normalizer::apply(std::string_view text) const {
  std::string now(text);
  for (NormalizerStep const& step : steps_) {
    now = std::visit(Overloaded{
                         [&](NormalizeForm const& s) { return to_normal_form(now, s.form); },
                         [&](Prepend const& s) { return now.empty() ? now : s.prefix + now; },
                         [&](Replace const& s) { return replace_all(now, s); },
                         [&](Strip const& s) { return std::string(strip(now, s.side)); },
                         [&](Lowercase const&) { return to_lower(now); },
                         [&](StripAccents const&) { return strip_accents(now); },
                         [&](CollapseSpaces const&) { return collapse_spaces(now); },
                         [&](MapCharacters const& s) { return s.map->apply(now); },
                     },
                     step);
  }
  return now;
}

}  // namespace windlass
