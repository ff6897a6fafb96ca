#include "src/model/byte_cursor.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {

std::string ByteCursor::where() const { return text(file_->path(), ": ", what_); }

std::byte const* ByteCursor::bytes(std::uint64_t count) {
  if (count > left())
    throw InputError(text(where(), " needs ", count, " bytes at offset ", position(), ", but the file has only ",
                          file_->size(), "; it is cut or not a model file"));
  if (count > buffer_.size() - used_) {
    start_ = position();
    used_ = 0;
    constexpr std::uint64_t ahead = std::uint64_t(1) << 20;
    buffer_.resize(std::size_t(std::min(std::max(count, ahead), file_->size() - start_)));
    file_->read(start_, buffer_);
  }
  std::byte const* const at = buffer_.data() + used_;
  used_ += std::size_t(count);
  return at;
}

}  // namespace windlass
