/// Strong id types: one id is never taken for another, or for a count.
#pragma once

#include <cstdint>
#include <type_traits>

namespace windlass {

enum class TokenId : std::uint32_t {};     ///< an entry of the vocabulary
enum class RequestId : std::uint64_t {};   ///< one API call, unique within a job
enum class SequenceId : std::uint64_t {};  ///< prompt + generated tokens of one stream
enum class PageId : std::uint32_t {};      ///< one slot of a tier's pool
enum class InstanceId : std::uint32_t {};  ///< ranks that hold one model copy

template <class Id>
constexpr auto number(Id id) {
  return static_cast<std::underlying_type_t<Id>>(id);
}

}  // namespace windlass
