/// Bytes of messages: written in order, read back with every length checked.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "src/core/text.hpp"

namespace windlass {

/// What arrived is not what its sender must have sent. The message says which part of which message.
class WireError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Equal values have equal bytes: no padding. All ranks of a job have one processor architecture.
template <class T>
concept WireValue = std::is_trivially_copyable_v<T> &&
    (std::has_unique_object_representations_v<T> || std::same_as<T, double> || std::same_as<T, float>);

class WireWriter {
 public:
  template <WireValue T>
  void put(T const& value) {
    put_bytes(std::as_bytes(std::span(&value, 1)));
  }
  /// A count, then the elements.
  template <WireValue T>
  void put_all(std::span<T const> values) {
    put(std::uint64_t(values.size()));
    put_bytes(std::as_bytes(values));
  }
  template <WireValue T>
  void put_all(std::vector<T> const& values) {
    put_all(std::span<T const>(values));
  }
  void put_text(std::string_view words) { put_all(std::span<char const>(words.data(), words.size())); }

  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void put_bytes(std::span<std::byte const> bytes) {
    std::size_t const before = bytes_.size();
    bytes_.resize(before + bytes.size());
    if (!bytes.empty()) std::memcpy(bytes_.data() + before, bytes.data(), bytes.size());
  }
  std::vector<std::byte> bytes_;
};

/// Every function throws WireError where the bytes end too early; memory is taken only for what is there.
class WireReader {
 public:
  /// `what` names the message in errors; both must outlive the reader.
  WireReader(std::span<std::byte const> bytes, std::string_view what) : rest_(bytes), what_(what) {}

  template <WireValue T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof(T), 1).data(), sizeof(T));
    return value;
  }
  /// An enumerator, which must not be above `last`.
  template <class Enum>
  Enum get_enum(Enum last) {
    auto const value = get<std::underlying_type_t<Enum>>();
    if (value > std::underlying_type_t<Enum>(last)) throw WireError(text(what_, ": ", +value, " is no known value"));
    return Enum(value);
  }
  template <WireValue T>
  std::vector<T> get_all() {
    auto const count = get<std::uint64_t>();
    auto const bytes = take(count, sizeof(T));
    std::vector<T> values(count);
    if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  std::string get_text() {
    auto const count = get<std::uint64_t>();
    auto const bytes = take(count, 1);
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  }
  /// A count of things that take at least `least_bytes` each.
  std::size_t get_count(std::size_t least_bytes) {
    auto const count = get<std::uint64_t>();
    if (count > rest_.size() / least_bytes) throw_short(count);
    return count;
  }

  void expect_end() const {
    if (!rest_.empty()) throw WireError(text(what_, ": ", rest_.size(), " bytes too many"));
  }

 private:
  std::span<std::byte const> take(std::uint64_t count, std::size_t each) {
    if (count > rest_.size() / each) throw_short(count);
    auto const taken = rest_.first(count * each);
    rest_ = rest_.subspan(count * each);
    return taken;
  }
  [[noreturn]] void throw_short(std::uint64_t count) const {
    throw WireError(text(what_, ": ends early, ", count, " elements expected in ", rest_.size(), " bytes"));
  }
  std::span<std::byte const> rest_;
  std::string_view what_;
};

}  // namespace windlass
