/// Reading typed values from GGUF metadata.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "src/model/metadata.hpp"

namespace windlass {

/// Keys below "ARCHITECTURE.". A value of another type is an InputError naming file and key.
class MetadataReader {
 public:
  MetadataReader(Metadata const& metadata, std::string architecture)
      : metadata_(&metadata), prefix_(std::move(architecture) + ".") {}

  std::string const& source() const { return metadata_->source(); }
  std::optional<double> number(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  /// One integer; a list of one value per layer must have the same everywhere.
  std::optional<std::int64_t> integer(std::string_view key) const;
  /// Throws InputError where absent or not in 1 .. limit.
  int size(std::string_view key, int limit = 1 << 30) const;
  /// The same, but `fallback` where absent.
  int size_or(std::string_view key, int fallback) const;
  [[noreturn]] void fail(std::string_view key, std::string_view reason) const;

 private:
  MetadataValue const* find(std::string_view key) const;
  Metadata const* metadata_;
  std::string prefix_;
};

}  // namespace windlass
