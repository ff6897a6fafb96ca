/// Arithmetic and containment, as Python has them.
#include <cmath>

#include "src/core/text.hpp"
#include "src/model/jinja/print.hpp"
#include "src/model/jinja/runtime.hpp"

namespace windlass::jinja {

namespace {
constexpr std::size_t max_list_items = 1 << 20;

[[noreturn]] void unsupported(std::string_view operation, Value const& a, Value const& b) {
  require_defined(a);
  require_defined(b);
  throw Problem(text("unsupported operand types for ", operation, ": '", type_name(a), "' and '", type_name(b), "'"));
}

bool both_integers(Value const& a, Value const& b) {
  return a.is_number() && b.is_number() && !a.is<double>() && !b.is<double>();
}

void require_numbers(std::string_view operation, Value const& a, Value const& b) {
  if (!a.is_number() || !b.is_number()) unsupported(operation, a, b);
}

Value checked(bool overflow, std::int64_t result) {
  if (overflow) throw Problem("an integer is larger than 64 bits hold");
  return result;
}

std::int64_t integer(Value const& value) { return to_integer(value, "an integer"); }

void require_divisor(Value const& b) {
  if (to_real(b) == 0) throw Problem("division by zero");
}

Value repeat(Runtime& runtime, Value const& sequence, std::int64_t times) {
  auto const count = std::size_t(times < 0 ? 0 : times);
  if (auto const* content = sequence.text()) {
    if (!content->empty() && count > max_text_bytes / content->size())
      throw Problem("'*' makes a text longer than 64 MiB");
    runtime.spend(content->size() * count / 16 + 1);
    std::string out = count == 0 ? std::string{} : *content;
    std::size_t const bytes = content->size() * count;
    out.reserve(bytes);
    while (out.size() < bytes) out.append(out, 0, bytes - out.size());
    return out;
  }
  List const& list = *sequence.list();
  if (!list.items.empty() && count > max_list_items / list.items.size()) throw Problem("'*' makes a list too long");
  runtime.spend(list.items.size() * count + 1);
  List out{{}, list.kind};
  for (std::size_t i = 0; i < count && !list.items.empty(); ++i)
    out.items.insert(out.items.end(), list.items.begin(), list.items.end());
  return out;
}
}  // namespace

Value add(Runtime& runtime, Value const& a, Value const& b) {
  if (both_integers(a, b)) {
    std::int64_t sum = 0;
    bool const overflow = __builtin_add_overflow(integer(a), integer(b), &sum);
    return checked(overflow, sum);
  }
  if (a.is_number() && b.is_number()) return to_real(a) + to_real(b);
  if (a.text() && b.text()) {
    if (a.text()->size() + b.text()->size() > max_text_bytes) throw Problem("a text is longer than 64 MiB");
    return runtime.text(*a.text() + *b.text());
  }
  if (!a.list() || !b.list() || a.list()->kind != b.list()->kind) unsupported("+", a, b);
  runtime.spend(a.list()->items.size() + b.list()->items.size() + 1);
  List out = *a.list();
  out.items.insert(out.items.end(), b.list()->items.begin(), b.list()->items.end());
  return out;
}

Value subtract(Value const& a, Value const& b) {
  require_numbers("-", a, b);
  if (!both_integers(a, b)) return to_real(a) - to_real(b);
  std::int64_t difference = 0;
  bool const overflow = __builtin_sub_overflow(integer(a), integer(b), &difference);
  return checked(overflow, difference);
}

Value multiply(Runtime& runtime, Value const& a, Value const& b) {
  auto const is_sequence = [](Value const& value) { return value.text() || value.list(); };
  auto const is_integer = [](Value const& value) { return value.is_number() && !value.is<double>(); };
  if (is_sequence(a) && is_integer(b)) return repeat(runtime, a, integer(b));
  if (is_sequence(b) && is_integer(a)) return repeat(runtime, b, integer(a));
  require_numbers("*", a, b);
  if (!both_integers(a, b)) return to_real(a) * to_real(b);
  std::int64_t product = 0;
  bool const overflow = __builtin_mul_overflow(integer(a), integer(b), &product);
  return checked(overflow, product);
}

Value divide(Value const& a, Value const& b) {
  require_numbers("/", a, b);
  require_divisor(b);
  return to_real(a) / to_real(b);
}

Value floor_divide(Value const& a, Value const& b) {
  require_numbers("//", a, b);
  require_divisor(b);
  if (!both_integers(a, b)) return std::floor(to_real(a) / to_real(b));
  std::int64_t const x = integer(a), y = integer(b);
  if (y == -1) return negative(a);
  std::int64_t const quotient = x / y;
  return (x % y != 0 && (x < 0) != (y < 0)) ? quotient - 1 : quotient;
}

Value modulo(Runtime&, Value const& a, Value const& b) {
  if (a.text()) throw Problem("formatting text by '%' is not supported; use '~'");
  require_numbers("%", a, b);
  require_divisor(b);
  if (!both_integers(a, b)) {
    double const x = to_real(a), y = to_real(b), rest = std::fmod(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
  }
  std::int64_t const x = integer(a), y = integer(b);
  if (y == -1) return 0;
  std::int64_t const rest = x % y;
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

Value power(Value const& a, Value const& b) {
  require_numbers("**", a, b);
  if (!both_integers(a, b) || integer(b) < 0) return std::pow(to_real(a), to_real(b));
  std::int64_t result = 1, base = integer(a);
  std::int64_t exponent = integer(b);
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  for (; exponent > 0; --exponent)
    if (__builtin_mul_overflow(result, base, &result)) return checked(true, 0);
  return result;
}

Value negative(Value const& a) {
  if (auto const* real = std::get_if<double>(&a.data())) return -*real;
  std::int64_t result = 0;
  bool const overflow = __builtin_sub_overflow(std::int64_t{0}, to_integer(a, "a number"), &result);
  return checked(overflow, result);
}

bool contains(Runtime& runtime, Value const& whole, Value const& part) {
  if (auto const* content = whole.text()) {
    if (!part.text()) throw Problem(text("'in <string>' requires string, not '", type_name(part), "'"));
    runtime.spend(content->size() / 64 + 1);
    return content->find(*part.text()) != std::string::npos;
  }
  if (auto const* list = whole.list()) {
    runtime.spend(list->items.size() + 1);
    for (Value const& item : list->items)
      if (equal(item, part)) return true;
    return false;
  }
  if (auto const* dict = whole.dict()) {
    runtime.spend(dict->entries.size() / 4 + 1);
    return dict->find(part) != nullptr;
  }
  if (whole.is_undefined()) return false;
  throw Problem(text("argument of type '", type_name(whole), "' is not iterable"));
}

}  // namespace windlass::jinja
