/// Typed key-value metadata of a model file (GGUF's header).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace windlass {

using MetadataValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string, std::vector<std::int64_t>,
                                   std::vector<double>, std::vector<bool>, std::vector<std::string>>;

/// Keys as in the file, such as "llama.block_count". Integers of any width become 64 bits wide, floats double.
class Metadata {
 public:
  explicit Metadata(std::string source) : source_(std::move(source)) {}
  std::string const& source() const { return source_; }  ///< the file, for messages

  void set(std::string key, MetadataValue value) { values_.insert_or_assign(std::move(key), std::move(value)); }
  /// Null if the key is absent.
  MetadataValue const* find(std::string_view key) const {
    auto const at = values_.find(key);
    return at == values_.end() ? nullptr : &at->second;
  }
  std::map<std::string, MetadataValue, std::less<>> const& all() const { return values_; }

 private:
  std::string source_;
  std::map<std::string, MetadataValue, std::less<>> values_;
};

}  // namespace windlass
