#include "src/model/safetensors.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/json_reader.hpp"

namespace windlass {
namespace {

constexpr std::uint64_t max_header_bytes = 100'000'000;
constexpr std::uint64_t max_index_bytes = 256 << 20;

std::optional<FileType> file_type(std::string const& dtype) {
  if (dtype == "F32") return FileType::f32;
  if (dtype == "F16") return FileType::f16;
  if (dtype == "BF16") return FileType::bf16;
  if (dtype == "F8_E4M3") return FileType::f8_e4m3;
  return {};
}

boost::json::object read_header(FileBytes const& file, std::uint64_t& data_start) {
  std::uint64_t length = 0;
  if (file.size() < 8) throw InputError(file.path() + ": is too short to be a safetensors file; it is cut");
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > max_header_bytes || length > file.size() - 8)
    throw InputError(text(file.path(), ": the header should have ", length, " bytes, but the file has ", file.size(),
                          "; it is cut or not a safetensors file"));
  std::string header(std::size_t(length), '\0');
  file.read(8, std::as_writable_bytes(std::span(header)));
  data_start = 8 + length;
  return parse_json_object(header, file.path() + ": header");
}

struct Extent {
  std::uint64_t begin, end;
  std::string name;
};

/// The bytes of a tensor, relative to the data; checked against the data's size.
Extent extent_of(JsonReader const& entry, std::string const& name, std::uint64_t data_bytes) {
  std::vector<std::int64_t> const offsets = entry.integers("data_offsets");
  if (offsets.size() != 2 || offsets[0] < 0 || offsets[1] < offsets[0])
    entry.fail("data_offsets", "is not a pair of ascending offsets");
  if (std::uint64_t(offsets[1]) > data_bytes)
    throw InputError(text(entry.source(), " ends at byte ", offsets[1], " of the data, but the file has only ",
                          data_bytes, "; it is cut: copy or download it again"));
  return {std::uint64_t(offsets[0]), std::uint64_t(offsets[1]), name};
}

Tensor tensor_of(JsonReader const& entry, Extent const& extent, FileType type) {
  Tensor tensor{.name = extent.name, .type = type, .shape = entry.integers("shape")};
  if (!entry.has("shape")) entry.fail("shape", "is missing");
  std::int64_t const elements = checked_elements(tensor.shape, entry.source());
  tensor.bytes = row_bytes(type, elements);
  if (tensor.bytes != extent.end - extent.begin)
    throw InputError(text(entry.source(), " has ", extent.end - extent.begin, " bytes, but ", name(type), " ",
                          shape_text(tensor.shape), " takes ", tensor.bytes));
  tensor.offset = extent.begin;
  return tensor;
}

void check_without_gaps(std::vector<Extent> extents, std::string const& path, std::uint64_t data_bytes) {
  std::sort(extents.begin(), extents.end(),
            [](Extent const& a, Extent const& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  std::uint64_t end = 0;
  for (Extent const& extent : extents) {
    if (extent.begin != end)
      throw InputError(text(path, ": tensor ", extent.name, " starts at byte ", extent.begin, " of the data, but ", end,
                            " is where the one before it ends; the file is damaged"));
    end = extent.end;
  }
  if (end != data_bytes)
    throw InputError(
        text(path, ": has ", data_bytes, " bytes of data, but its tensors take ", end, "; the file is damaged"));
}

/// Shard -> names that the index says are in it.
std::map<std::string, std::vector<std::string>> read_index(std::string const& path) {
  boost::json::object const object = parse_json_object(read_text_file(path, max_index_bytes), path);
  std::optional<JsonReader> const map = JsonReader(object, path).child("weight_map");
  if (!map) throw InputError(path + ": weight_map is missing");
  std::map<std::string, std::vector<std::string>> shards;
  for (auto const& [name, file] : map->object()) {
    if (!file.is_string() || std::string_view(file.get_string()).find('/') != std::string_view::npos)
      throw InputError(text(path, ": weight_map: ", std::string_view(name), " does not name a file of the folder"));
    shards[std::string(file.get_string())].emplace_back(name);
  }
  return shards;
}

}  // namespace

void add_safetensors(TensorTable& tensors, FileBytes file) {
  std::uint64_t data_start = 0;
  boost::json::object const header = read_header(file, data_start);
  std::shared_ptr<FileBytes const> const bytes = tensors.add_file(std::move(file));
  std::uint64_t const data_bytes = bytes->size() - data_start;
  std::vector<Extent> extents;
  for (auto const& [key, value] : header) {
    std::string const name(key);
    if (name == "__metadata__") continue;
    std::string const where = text(bytes->path(), ": tensor ", name);
    if (!value.is_object()) throw InputError(where + " is not described by a JSON object");
    JsonReader const entry(value.get_object(), where);
    extents.push_back(extent_of(entry, name, data_bytes));
    std::string const dtype = entry.text("dtype").value_or("(none)");
    std::optional<FileType> const type = file_type(dtype);
    if (!type) {
      tensors.add_unsupported(name, text(where, " has the type ", dtype));
      continue;
    }
    Tensor tensor = tensor_of(entry, extents.back(), *type);
    tensor.file = bytes.get();
    tensor.offset += data_start;
    tensors.add(std::move(tensor));
  }
  check_without_gaps(std::move(extents), bytes->path(), data_bytes);
}

TensorTable open_safetensors(std::string const& folder, LoadMode mode) {
  TensorTable tensors;
  std::string const index = folder + "/model.safetensors.index.json", single = folder + "/model.safetensors";
  if (!std::filesystem::exists(index)) {
    if (!std::filesystem::exists(single))
      throw InputError(folder +
                       ": has neither model.safetensors nor model.safetensors.index.json; only safetensors "
                       "and GGUF files can be read");
    add_safetensors(tensors, FileBytes(single, mode));
    return tensors;
  }
  for (auto const& [shard, names] : read_index(index)) {
    add_safetensors(tensors, FileBytes(text(folder, "/", shard), mode));
    for (std::string const& name : names)
      if (!tensors.contains(name))
        throw InputError(text(folder, "/", shard, ": tensor ", name, " is missing, though ", index, " places it here"));
  }
  return tensors;
}

}  // namespace windlass
