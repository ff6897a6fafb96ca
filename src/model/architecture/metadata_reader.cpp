#include "src/model/architecture/metadata_reader.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {

MetadataValue const* MetadataReader::find(std::string_view key) const {
  return metadata_->find(prefix_ + std::string(key));
}

void MetadataReader::fail(std::string_view key, std::string_view reason) const {
  throw InputError(windlass::text(source(), ": key ", prefix_, key, " ", reason));
}

std::optional<double> MetadataReader::number(std::string_view key) const {
  MetadataValue const* const value = find(key);
  if (value == nullptr) return {};
  if (auto const* const real = std::get_if<double>(value)) return *real;
  if (auto const* const count = std::get_if<std::uint64_t>(value)) return double(*count);
  if (auto const* const whole = std::get_if<std::int64_t>(value)) return double(*whole);
  fail(key, "is not a number");
}

std::optional<std::string> MetadataReader::text(std::string_view key) const {
  MetadataValue const* const value = find(key);
  if (value == nullptr) return {};
  if (auto const* const found = std::get_if<std::string>(value)) return *found;
  fail(key, "is not a text");
}

std::optional<std::int64_t> MetadataReader::integer(std::string_view key) const {
  MetadataValue const* const value = find(key);
  if (value == nullptr) return {};
  if (auto const* const count = std::get_if<std::uint64_t>(value)) return std::int64_t(*count);
  if (auto const* const whole = std::get_if<std::int64_t>(value)) return *whole;
  if (auto const* const list = std::get_if<std::vector<std::int64_t>>(value); list != nullptr && !list->empty()) {
    if (std::all_of(list->begin(), list->end(), [&](std::int64_t v) { return v == list->front(); }))
      return list->front();
    fail(key, "differs between layers, which is not supported");
  }
  fail(key, "is not an integer");
}

int MetadataReader::size(std::string_view key, int limit) const {
  std::optional<std::int64_t> const value = integer(key);
  if (!value) fail(key, "is missing");
  if (*value < 1 || *value > limit) fail(key, windlass::text("is ", *value, ", not between 1 and ", limit));
  return int(*value);
}

int MetadataReader::size_or(std::string_view key, int fallback) const { return integer(key) ? size(key) : fallback; }

}  // namespace windlass
