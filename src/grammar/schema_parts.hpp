/// JSON schemas as values: references, types, and several schemas made one.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace windlass::grammar {

/// All functions throw InputError naming the keyword that is wrong or cannot be followed.

/// Throws where a keyword is not one of README.md's.
void check_keywords(boost::json::object const& schema);

/// What a schema holds without title, description and the like.
boost::json::object without_annotations(boost::json::object const& schema);

/// The schema that a reference ("#", "#/…") within `root` names.
boost::json::value const& resolve(std::string_view reference, boost::json::value const& root);

/// `schema` after its $ref, and the keywords beside it, have been followed.
boost::json::value resolved(boost::json::value const& schema, boost::json::value const& root);

/// A schema whose values satisfy both; references in it are left alone where both do not have the same keyword.
boost::json::value merged(boost::json::value const& a, boost::json::value const& b, boost::json::value const& root);

/// The types that are generated: those of `type`, else those that the other keywords speak of; empty: any.
std::vector<std::string> types_of(boost::json::object const& schema);

/// The listed values of `enum` and `const` that have one of the schema's types; only where one of the two is there.
boost::json::array listed_values(boost::json::object const& schema);

/// Whether a value that is generated for one of the two can never satisfy the other.
bool surely_disjoint(boost::json::value const& a, boost::json::value const& b, boost::json::value const& root);

/// JSON without spaces, numbers in their shortest form.
std::string written(boost::json::value const& value);

}  // namespace windlass::grammar
