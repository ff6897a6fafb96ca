#include "src/model/gguf.hpp"

#include <optional>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/byte_cursor.hpp"

namespace windlass {
namespace {

constexpr std::uint64_t max_keys = 1 << 20, max_tensors = 1 << 20;
constexpr std::uint64_t max_key_bytes = 1 << 16;

enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

std::optional<FileType> file_type(std::uint32_t number) {
  switch (number) {
    case 0:
      return FileType::f32;
    case 1:
      return FileType::f16;
    case 2:
      return FileType::q4_0;
    case 3:
      return FileType::q4_1;
    case 6:
      return FileType::q5_0;
    case 7:
      return FileType::q5_1;
    case 8:
      return FileType::q8_0;
    case 12:
      return FileType::q4_k;
    case 13:
      return FileType::q5_k;
    case 14:
      return FileType::q6_k;
    case 20:
      return FileType::iq4_nl;
    case 30:
      return FileType::bf16;
    default:
      return {};
  }
}

std::string take_text(ByteCursor& in) {
  auto const length = in.take<std::uint64_t>();
  if (length > in.left())
    throw InputError(text(in.where(), " has a text of ", length, " bytes, more than the file has left (", in.left(),
                          "); the file is cut or damaged"));
  return in.take_text(length);
}

std::int64_t take_integer(ByteCursor& in, ValueType type) {
  switch (type) {
    case ValueType::u8:
      return in.take<std::uint8_t>();
    case ValueType::i8:
      return in.take<std::int8_t>();
    case ValueType::u16:
      return in.take<std::uint16_t>();
    case ValueType::i16:
      return in.take<std::int16_t>();
    case ValueType::u32:
      return in.take<std::uint32_t>();
    case ValueType::i32:
      return in.take<std::int32_t>();
    case ValueType::u64:
    case ValueType::i64:
      return in.take<std::int64_t>();
    case ValueType::f32:
    case ValueType::f64:
    case ValueType::boolean:
    case ValueType::text:
    case ValueType::array:
      break;
  }
  throw InputError(text(in.where(), " has the value type ", unsigned(type), ", which GGUF does not define"));
}

bool is_unsigned(ValueType type) {
  return type == ValueType::u8 || type == ValueType::u16 || type == ValueType::u32 || type == ValueType::u64;
}

template <class T, class Take>
std::vector<T> take_many(ByteCursor& in, std::uint64_t count, std::uint64_t least_bytes, Take const& take) {
  if (count > in.left() / least_bytes)
    throw InputError(text(in.where(), " is an array of ", count, " elements, more than the file has left (", in.left(),
                          " bytes); the file is cut or damaged"));
  std::vector<T> values;
  values.reserve(std::size_t(count));
  for (std::uint64_t i = 0; i < count; ++i) values.push_back(take());
  return values;
}

MetadataValue take_array(ByteCursor& in) {
  auto const type = in.take<ValueType>();
  auto const count = in.take<std::uint64_t>();
  if (type == ValueType::array) throw InputError(in.where() + " is an array of arrays, which no known key is");
  if (type == ValueType::text) return take_many<std::string>(in, count, 8, [&] { return take_text(in); });
  if (type == ValueType::boolean) return take_many<bool>(in, count, 1, [&] { return in.take<std::uint8_t>() != 0; });
  if (type == ValueType::f32) return take_many<double>(in, count, 4, [&] { return double(in.take<float>()); });
  if (type == ValueType::f64) return take_many<double>(in, count, 8, [&] { return in.take<double>(); });
  return take_many<std::int64_t>(in, count, 1, [&] { return take_integer(in, type); });
}

MetadataValue take_value(ByteCursor& in) {
  auto const type = in.take<ValueType>();
  if (type == ValueType::array) return take_array(in);
  if (type == ValueType::text) return take_text(in);
  if (type == ValueType::boolean) return in.take<std::uint8_t>() != 0;
  if (type == ValueType::f32) return double(in.take<float>());
  if (type == ValueType::f64) return in.take<double>();
  std::int64_t const value = take_integer(in, type);
  if (is_unsigned(type)) return std::uint64_t(value);
  return value;
}

struct Header {
  std::uint64_t tensors, keys;
};

Header take_header(ByteCursor& in) {
  in.expect("the GGUF header");
  if (in.left() < 4 || in.take_text(4) != "GGUF") throw InputError(in.where() + " is missing: this is not a GGUF file");
  auto const version = in.take<std::uint32_t>();
  if (version != 2 && version != 3)
    throw InputError(text(in.where(), " says version ", version, "; versions 2 and 3 (little endian) can be read"));
  Header const header{in.take<std::uint64_t>(), in.take<std::uint64_t>()};
  if (header.tensors > max_tensors || header.keys > max_keys)
    throw InputError(text(in.where(), " announces ", header.tensors, " tensors and ", header.keys,
                          " keys, which cannot be; the file is damaged"));
  return header;
}

void take_keys(ByteCursor& in, std::uint64_t count, Metadata& metadata) {
  for (std::uint64_t i = 0; i < count; ++i) {
    in.expect(text("key number ", i));
    std::string key = take_text(in);
    if (key.size() > max_key_bytes)
      throw InputError(text(in.where(), " has a name of ", key.size(), " bytes; the file is damaged"));
    in.expect("key " + key);
    if (metadata.find(key) != nullptr) throw InputError(in.where() + " is there twice");
    metadata.set(std::move(key), take_value(in));
  }
}

/// Offset still relative to the data section.
Tensor take_tensor(ByteCursor& in, std::uint64_t index) {
  in.expect(text("tensor number ", index));
  Tensor tensor{.name = take_text(in)};
  in.expect("tensor " + tensor.name);
  auto const dimensions = in.take<std::uint32_t>();
  if (dimensions < 1 || dimensions > 4)
    throw InputError(text(in.where(), " has ", dimensions, " dimensions; 1 to 4 are possible"));
  for (std::uint32_t i = 0; i < dimensions; ++i)
    tensor.shape.insert(tensor.shape.begin(), in.take<std::int64_t>());  // innermost first in the file
  auto const type = in.take<std::uint32_t>();
  std::optional<FileType> const known = file_type(type);
  if (!known)
    throw InputError(text(in.where(), " has the type number ", type,
                          ", which is not supported (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K "
                          "and IQ4_NL are); convert the model to one of them"));
  tensor.type = *known;
  tensor.offset = in.take<std::uint64_t>();
  std::int64_t const elements = checked_elements(tensor.shape, in.where());
  if (tensor.columns() % block_weights(tensor.type) != 0)
    throw InputError(text(in.where(), " of type ", name(tensor.type), " has rows of ", tensor.columns(),
                          " weights, not a multiple of its block of ", block_weights(tensor.type)));
  tensor.bytes = row_bytes(tensor.type, elements);
  return tensor;
}

std::uint64_t alignment_of(Metadata const& metadata) {
  MetadataValue const* const value = metadata.find("general.alignment");
  if (value == nullptr) return 32;
  auto const* const alignment = std::get_if<std::uint64_t>(value);
  if (alignment == nullptr || *alignment == 0 || *alignment > (1u << 20) || (*alignment & (*alignment - 1)) != 0)
    throw InputError(metadata.source() + ": key general.alignment is not a power of two up to 2^20");
  return *alignment;
}

/// Makes the offset one in the file and checks that all bytes are there.
void place(Tensor& tensor, FileBytes const& file, std::uint64_t data_start, std::uint64_t alignment) {
  tensor.file = &file;
  if (tensor.offset % alignment != 0)
    throw InputError(text(tensor.where(), " starts at offset ", tensor.offset, ", not a multiple of the alignment ",
                          alignment, "; the file is damaged"));
  std::uint64_t const available = file.size() > data_start ? file.size() - data_start : 0;
  if (tensor.offset > available || tensor.bytes > available - tensor.offset)
    throw InputError(text(tensor.where(), " needs bytes ", tensor.offset, " to ", tensor.offset, " + ", tensor.bytes,
                          " of the data, but the file has only ", available, "; it is cut: copy or download it again"));
  tensor.offset += data_start;
}

}  // namespace

GgufFile::GgufFile(FileBytes file) : metadata_(file.path()) {
  std::shared_ptr<FileBytes const> const bytes = tensors_.add_file(std::move(file));
  ByteCursor in(*bytes);
  Header const header = take_header(in);
  take_keys(in, header.keys, metadata_);
  std::vector<Tensor> tensors;
  for (std::uint64_t i = 0; i < header.tensors; ++i) tensors.push_back(take_tensor(in, i));
  std::uint64_t const alignment = alignment_of(metadata_);
  std::uint64_t const data_start = (in.position() + alignment - 1) / alignment * alignment;
  for (Tensor& tensor : tensors) {
    place(tensor, *bytes, data_start, alignment);
    tensors_.add(std::move(tensor));
  }
}

}  // namespace windlass
