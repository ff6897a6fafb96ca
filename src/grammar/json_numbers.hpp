/// Numbers within bounds, digit by digit.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>

#include "src/grammar/grammar.hpp"

namespace windlass::grammar {

/// A number in decimal digits.
struct Decimal {
  bool negative = false;
  std::string whole = "0";  ///< without leading zeros
  std::string fraction;     ///< without trailing zeros
};

enum class BoundIs : unsigned char { allowed, forbidden };

struct DecimalBound {
  Decimal value;
  BoundIs is = BoundIs::allowed;
};

struct NumberRule {
  std::optional<DecimalBound> least, most;
  std::uint32_t multiple_of = 1;  ///< above 1: integers alone
  bool integers = false;
};

/// Throws InputError where `value` is not a number.
Decimal decimal_of(boost::json::value const& value, char const* keyword);

/// Numbers of at most 15 digits, so that no two of them are read as the same double.
void add_numbers(GrammarBuilder& builder, Grammar::Ends between, NumberRule const& rule);

}  // namespace windlass::grammar
