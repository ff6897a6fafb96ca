/// Typed look-ups in a model file's metadata, with messages that name file and key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/metadata.hpp"

namespace windlass {

/// Null or nothing if the key is absent; throws InputError where it has another type.
std::vector<std::string> const* find_texts(Metadata const& metadata, std::string_view key);
std::string const* find_text(Metadata const& metadata, std::string_view key);
std::optional<bool> find_flag(Metadata const& metadata, std::string_view key);
std::optional<std::uint32_t> find_token(Metadata const& metadata, std::string_view key);
std::vector<std::int64_t> find_integers(Metadata const& metadata, std::string_view key);
std::vector<double> find_numbers(Metadata const& metadata, std::string_view key);

}  // namespace windlass
