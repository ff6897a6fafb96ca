#include "src/model/tokenizer/metadata_fields.hpp"

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {

namespace {
[[noreturn]] void wrong_type(Metadata const& metadata, std::string_view key, std::string_view wanted) {
  throw InputError(text(metadata.source(), ": metadata key ", key, " is not ", wanted, "; convert the model again"));
}

template <class T>
T const* find(Metadata const& metadata, std::string_view key, std::string_view wanted) {
  MetadataValue const* const value = metadata.find(key);
  if (!value) return nullptr;
  auto const* const typed = std::get_if<T>(value);
  if (!typed) wrong_type(metadata, key, wanted);
  return typed;
}
}  // namespace

std::vector<std::string> const* find_texts(Metadata const& metadata, std::string_view key) {
  return find<std::vector<std::string>>(metadata, key, "an array of strings");
}

std::string const* find_text(Metadata const& metadata, std::string_view key) {
  return find<std::string>(metadata, key, "a string");
}

std::optional<bool> find_flag(Metadata const& metadata, std::string_view key) {
  auto const* const flag = find<bool>(metadata, key, "true or false");
  return flag ? std::optional(*flag) : std::nullopt;
}

std::optional<std::uint32_t> find_token(Metadata const& metadata, std::string_view key) {
  MetadataValue const* const value = metadata.find(key);
  if (!value) return std::nullopt;
  constexpr std::uint64_t end = 0xFFFFFFFFu;  // writers mark "none" by it
  if (auto const* id = std::get_if<std::uint64_t>(value))
    return *id < end ? std::optional(std::uint32_t(*id)) : std::nullopt;
  if (auto const* id = std::get_if<std::int64_t>(value))
    return *id >= 0 && *id < std::int64_t(end) ? std::optional(std::uint32_t(*id)) : std::nullopt;
  wrong_type(metadata, key, "a token id");
}

std::vector<std::int64_t> find_integers(Metadata const& metadata, std::string_view key) {
  auto const* const values = find<std::vector<std::int64_t>>(metadata, key, "an array of integers");
  return values ? *values : std::vector<std::int64_t>{};
}

std::vector<double> find_numbers(Metadata const& metadata, std::string_view key) {
  auto const* const values = find<std::vector<double>>(metadata, key, "an array of numbers");
  return values ? *values : std::vector<double>{};
}

}  // namespace windlass
