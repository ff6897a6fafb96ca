/// Python's string operations on UTF-8: lengths and places count characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace windlass::jinja {

std::size_t count_characters(std::string_view text);
std::vector<std::string_view> split_characters(std::string_view text);

enum class Side : unsigned char { left, right, both };
/// Without `characters`: white space.
std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> characters = std::nullopt);

/// str.split and rsplit; without a separator: at runs of white space, none kept at the ends. `max_splits` < 0: no
/// limit.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    std::int64_t max_splits);
std::vector<std::string_view> split_from_right(std::string_view text, std::string_view separator,
                                               std::int64_t max_splits);
std::vector<std::string_view> split_lines(std::string_view text);

/// The first `count` occurrences (all if negative). Throws Problem where the result is longer than `max_bytes`.
struct Replacement {
  std::string_view from, to;
  std::int64_t count = -1;
};
std::string replace(std::string_view text, Replacement const& replacement, std::size_t max_bytes);

std::string capitalize(std::string_view text);
/// Words as str.title has them: a letter is upper case where no letter stands before it.
std::string title(std::string_view text);
/// Words as Jinja's filter has them: they begin behind white space, '-', '(', '{', '[' and '<'.
std::string title_by_spaces(std::string_view text);

}  // namespace windlass::jinja
