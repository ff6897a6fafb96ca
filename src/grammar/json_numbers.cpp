#include "src/grammar/json_numbers.hpp"

#include <array>
#include <charconv>
#include <map>
#include <tuple>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::grammar {
namespace {

constexpr std::size_t max_digits = 15;

/// -1, 0, 1: a's size against b's, signs aside.
int compare_magnitudes(Decimal const& a, Decimal const& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  int const order = (a.whole + a.fraction).compare(b.whole + b.fraction);
  return order < 0 ? -1 : order > 0;
}

bool is_zero(Decimal const& a) { return a.whole == "0" && a.fraction.empty(); }

/// The largest number that is written.
Decimal largest() { return {.negative = false, .whole = std::string(max_digits, '9'), .fraction = {}}; }

/// Magnitudes from least to most, as an automaton that knows whether the digits so far are those of a bound.
class DigitWriter {
 public:
  DigitWriter(GrammarBuilder& builder, NumberRule const& rule, DecimalBound least, DecimalBound most, Node end)
      : builder_(&builder), rule_(&rule), least_(std::move(least)), most_(std::move(most)), end_(end) {}

  void add(Node from) {
    std::size_t const low = least_.value.whole.size(), high = most_.value.whole.size();
    for (std::size_t digits = low; digits <= high; ++digits) {
      Place const begin{.left = digits,
                        .fraction_left = rule_->integers ? 0 : max_digits - digits,
                        .at_least = digits == low,
                        .at_most = digits == high};
      add_digits(from, begin, digits > 1 ? 1 : 0);
    }
  }

 private:
  /// What the digits so far leave open.
  struct Place {
    bool in_fraction = false;
    std::size_t left = 0;                    ///< digits to come before the point
    std::size_t fraction = 0;                ///< digits behind the point, where a bound still follows them; else 0 or 1
    std::size_t fraction_left = 0;           ///< digits that may still come behind the point
    bool at_least = false, at_most = false;  ///< the digits so far are those of the bound
    std::uint32_t remainder = 0;
    auto operator<=>(Place const&) const = default;
  };

  static int digit(std::string const& digits, std::size_t at) { return at < digits.size() ? digits[at] - '0' : 0; }

  int bound_digit(Decimal const& bound, Place const& place) const {
    return place.in_fraction ? digit(bound.fraction, place.fraction)
                             : digit(bound.whole, bound.whole.size() - place.left);
  }

  bool may_end(Place const& place) const {
    if (place.left > 0 || (place.in_fraction && place.fraction == 0) || place.remainder != 0) return false;
    std::size_t const read = place.in_fraction ? place.fraction : 0;
    bool const below_least = place.at_least && least_.value.fraction.size() > read;
    bool const is_least = place.at_least && !below_least;
    bool const is_most = place.at_most && most_.value.fraction.size() <= read;
    return !below_least && !(is_least && least_.is == BoundIs::forbidden) &&
           !(is_most && most_.is == BoundIs::forbidden);
  }

  /// Edges for the next digit, where some end can be reached.
  bool add_digits(Node from, Place const& place, int first_digit) {
    int const low = std::max(first_digit, place.at_least ? bound_digit(least_.value, place) : 0);
    int const high = place.at_most ? bound_digit(most_.value, place) : 9;
    bool any = false;
    for (int d = low; d <= high; ++d) {
      Place next = place;
      next.at_least = place.at_least && d == bound_digit(least_.value, place);
      next.at_most = place.at_most && d == bound_digit(most_.value, place);
      next.remainder = (place.remainder * 10 + std::uint32_t(d)) % rule_->multiple_of;
      if (place.in_fraction) {
        --next.fraction_left;
        next.fraction = next.at_least || next.at_most ? place.fraction + 1 : 1;
      } else {
        --next.left;
      }
      auto const to = node(next);
      if (to)
        builder_->add_bytes(from, *to, {static_cast<unsigned char>('0' + d), static_cast<unsigned char>('0' + d)});
      any |= to.has_value();
    }
    return any;
  }

  /// Nothing where no end can be reached.
  std::optional<Node> node(Place const& place) {
    if (auto const known = nodes_.find(place); known != nodes_.end()) return known->second;
    Node const made = builder_->node();
    bool any = may_end(place);
    if (any) builder_->add_empty(made, end_);
    if (place.left > 0 || (place.in_fraction && place.fraction_left > 0)) any |= add_digits(made, place, 0);
    if (place.left == 0 && !place.in_fraction && place.fraction_left > 0) {
      Place behind_point = place;
      behind_point.in_fraction = true;
      auto const to = node(behind_point);
      if (to) builder_->add_text(made, *to, ".");
      any |= to.has_value();
    }
    return nodes_[place] = any ? std::optional(made) : std::nullopt;
  }

  GrammarBuilder* builder_;
  NumberRule const* rule_;
  DecimalBound least_, most_;
  Node end_;
  std::map<Place, std::optional<Node>> nodes_;
};

void add_magnitudes(GrammarBuilder& builder, Grammar::Ends between, NumberRule const& rule, DecimalBound least,
                    DecimalBound most) {
  if (most.value.whole.size() > max_digits) most = {.value = largest()};
  int const order = compare_magnitudes(least.value, most.value);
  if (least.value.whole.size() > max_digits || order > 0) return;
  DigitWriter(builder, rule, std::move(least), std::move(most), between.last).add(between.first);
}

DecimalBound magnitude(DecimalBound bound) {
  bound.value.negative = false;
  return bound;
}

}  // namespace

Decimal decimal_of(boost::json::value const& value, char const* keyword) {
  std::array<char, 512> digits{};
  std::to_chars_result end{};
  if (auto const* small = value.if_int64())
    end = std::to_chars(digits.begin(), digits.end(), *small);
  else if (auto const* big = value.if_uint64())
    end = std::to_chars(digits.begin(), digits.end(), *big);
  else if (auto const* real = value.if_double())
    end = std::to_chars(digits.begin(), digits.end(), *real, std::chars_format::fixed);
  else
    throw InputError(text("'", keyword, "' of a JSON schema must be a number"));
  std::string_view all(digits.begin(), std::size_t(end.ptr - digits.begin()));
  Decimal decimal{.negative = all.starts_with('-'), .whole = {}, .fraction = {}};
  if (decimal.negative) all.remove_prefix(1);
  std::size_t const point = std::min(all.find('.'), all.size());
  decimal.whole = all.substr(0, point);
  if (point < all.size()) decimal.fraction = all.substr(point + 1);
  while (decimal.fraction.ends_with('0')) decimal.fraction.pop_back();
  if (is_zero(decimal)) decimal.negative = false;
  return decimal;
}

void add_numbers(GrammarBuilder& builder, Grammar::Ends between, NumberRule const& rule) {
  DecimalBound const zero{};
  DecimalBound const least = rule.least.value_or(DecimalBound{.value = {.negative = true, .whole = largest().whole}});
  DecimalBound const most = rule.most.value_or(DecimalBound{.value = largest()});
  if (!most.value.negative) add_magnitudes(builder, between, rule, least.value.negative ? zero : least, most);
  if (!least.value.negative) return;
  Node const behind_sign = builder.node();
  builder.add_text(between.first, behind_sign, "-");
  DecimalBound const above_zero{.value = {}, .is = BoundIs::forbidden};
  add_magnitudes(builder, {behind_sign, between.last}, rule, most.value.negative ? magnitude(most) : above_zero,
                 magnitude(least));
}

}  // namespace windlass::grammar
