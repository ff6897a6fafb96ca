/// Making small GGUF and safetensors files in memory, right or wrong in any place.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

/// Appends little-endian values.
class ByteWriter {
 public:
  template <class T>
  ByteWriter& put(T value) {
    auto const* const at = reinterpret_cast<std::byte const*>(&value);
    bytes.insert(bytes.end(), at, at + sizeof(T));
    return *this;
  }
  ByteWriter& put_text(std::string_view text) {  // length first, as GGUF has it
    put<std::uint64_t>(text.size());
    return put_bytes(text);
  }
  ByteWriter& put_bytes(std::string_view text) {
    auto const* const at = reinterpret_cast<std::byte const*>(text.data());
    bytes.insert(bytes.end(), at, at + text.size());
    return *this;
  }

  std::vector<std::byte> bytes;
};

/// GGUF value types and tensor types, by their numbers in the file.
enum GgufNumber : std::uint32_t {
  gguf_u8 = 0,
  gguf_u32 = 4,
  gguf_f32 = 6,
  gguf_bool = 7,
  gguf_text = 8,
  gguf_array = 9
};
enum GgufTensorType : std::uint32_t { ggml_f32 = 0, ggml_q4_0 = 2, ggml_q8_0 = 8, ggml_q2_k = 10, ggml_q4_k = 12 };

struct GgufTensor {
  std::string name;
  std::vector<std::uint64_t> sizes;  ///< innermost first
  std::uint32_t type = ggml_f32;
  std::uint64_t bytes = 0;
};

class GgufBuilder {
 public:
  std::uint32_t version = 3;

  GgufBuilder& key(std::string_view name, std::uint32_t type) {
    ++keys_;
    header_.put_text(name).put(type);
    return *this;
  }
  GgufBuilder& u32(std::string_view name, std::uint32_t value) { return key(name, gguf_u32).raw(value); }
  GgufBuilder& f32(std::string_view name, float value) { return key(name, gguf_f32).raw(value); }
  GgufBuilder& text(std::string_view name, std::string_view value) {
    key(name, gguf_text);
    header_.put_text(value);
    return *this;
  }
  /// The value's bytes after key().
  template <class T>
  GgufBuilder& raw(T value) {
    header_.put(value);
    return *this;
  }
  /// Its data starts at the next free aligned offset; each byte is `fill`.
  GgufBuilder& tensor(GgufTensor const& tensor, std::uint8_t fill = 0x11) {
    offset_ = (offset_ + 31) / 32 * 32;
    add_tensor(tensor, offset_);
    data_.resize(offset_);
    data_.insert(data_.end(), tensor.bytes, std::byte(fill));
    offset_ += tensor.bytes;
    return *this;
  }
  /// F32 with these values.
  GgufBuilder& values(std::string const& name, std::vector<std::uint64_t> const& sizes,
                      std::vector<float> const& values) {
    tensor({name, sizes, ggml_f32, values.size() * 4});
    std::memcpy(data_.data() + data_.size() - values.size() * 4, values.data(), values.size() * 4);
    return *this;
  }
  GgufBuilder& add_tensor(GgufTensor const& tensor, std::uint64_t offset) {
    ++tensors_;
    infos_.put_text(tensor.name).put(std::uint32_t(tensor.sizes.size()));
    for (std::uint64_t const size : tensor.sizes) infos_.put(size);
    infos_.put(tensor.type).put(offset);
    return *this;
  }

  std::vector<std::byte> build() const {
    ByteWriter out;
    out.put_bytes("GGUF").put(version).put(tensors_).put(keys_);
    out.bytes.insert(out.bytes.end(), header_.bytes.begin(), header_.bytes.end());
    out.bytes.insert(out.bytes.end(), infos_.bytes.begin(), infos_.bytes.end());
    if (tensors_ > 0) out.bytes.resize((out.bytes.size() + 31) / 32 * 32);
    out.bytes.insert(out.bytes.end(), data_.begin(), data_.end());
    return out.bytes;
  }

 private:
  std::uint64_t tensors_ = 0, keys_ = 0, offset_ = 0;
  ByteWriter header_, infos_;
  std::vector<std::byte> data_;
};

/// A safetensors file: length of `header`, `header`, `data_bytes` zeros.
inline std::vector<std::byte> safetensors_bytes(std::string_view header, std::size_t data_bytes) {
  ByteWriter out;
  out.put_text(header);
  out.bytes.resize(out.bytes.size() + data_bytes);
  return out.bytes;
}

}  // namespace windlass
