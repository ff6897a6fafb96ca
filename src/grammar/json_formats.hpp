/// The values of JSON schema's `format` that strings can be held to.
#pragma once

#include <string>
#include <string_view>

namespace windlass::grammar {

/// A regular expression for the whole string. Throws InputError where the format is not one of README.md's.
std::string format_pattern(std::string_view format);

}  // namespace windlass::grammar
