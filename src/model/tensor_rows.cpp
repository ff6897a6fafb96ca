#include "src/model/tensor_rows.hpp"

#include <charconv>

#include "kernels/reference/dequantize.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

/// Without sizes of 1 in front.
std::vector<std::int64_t> trimmed(std::vector<std::int64_t> shape) {
  while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

RowSource source_of(Tensor const& tensor, std::int64_t first_row, std::int64_t rows) {
  std::size_t const bytes = row_bytes(tensor.type, tensor.columns());
  std::uint64_t const start = tensor.offset + std::uint64_t(first_row) * bytes;
  RowSource source{.type = tensor.type, .rows = rows};
  source.read = [file = tensor.file, start, bytes](std::int64_t first, std::int64_t, std::span<std::byte> out) {
    file->read(start + std::uint64_t(first) * bytes, out);
  };
  return source;
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> endings) {
  for (std::string_view const ending : endings)
    if (name.ends_with(ending)) return true;
  return false;
}

bool is_beyond(TensorFinder::Known const& known, std::string_view name) {
  if (!name.starts_with(known.layer_prefix)) return false;
  std::int64_t layer = 0;
  std::string_view const number = name.substr(known.layer_prefix.size());
  auto const result = std::from_chars(number.data(), number.data() + number.size(), layer);
  return result.ec == std::errc{} && layer >= known.layers;
}

/// Buffers that older checkpoints carry, and scales of quantised activations and caches, which are not quantised here.
bool is_needless(std::string_view name) {
  return name.starts_with("rope_f") ||  // GGUF's rope factors, read with the configuration
         ends_with_any(name, {"rotary_emb.inv_freq", ".input_scale", ".k_scale", ".v_scale", ".kv_scale",
                              ".masked_bias", "attn.bias_mask"});
}

}  // namespace

Tensor const& TensorFinder::get(std::string const& name) {
  Tensor const* const tensor = tensors_->find(name);
  if (tensor == nullptr) throw InputError(text(source_, ": tensor ", name, " is missing"));
  used_.insert(name);
  return *tensor;
}

Tensor const& TensorFinder::get(std::string const& name, std::vector<std::int64_t> const& shape) {
  Tensor const& tensor = get(name);
  if (trimmed(tensor.shape) != trimmed(shape))
    throw InputError(text(tensor.where(), " has the shape ", shape_text(tensor.shape),
                          ", but the configuration asks for ", shape_text(shape)));
  return tensor;
}

std::vector<float> TensorFinder::values(Tensor const& tensor) const {
  std::vector<std::byte> bytes(tensor.bytes);
  tensor.file->read(tensor.offset, bytes);
  std::vector<float> out(std::size_t(tensor.rows() * tensor.columns()));
  reference::dequantize(tensor.type, bytes, out);
  return out;
}

std::vector<float> TensorFinder::vector(std::string const& name, std::int64_t size) {
  return values(get(name + ".weight", {size}));
}

std::vector<float> TensorFinder::bias(std::string const& name, std::int64_t size) {
  return values(get(name + ".bias", {size}));
}

/// One scale, one per row, or one per block; the block's size follows from the shapes (128 x 128 is what is in use).
BlockScales TensorFinder::scales_of(std::string const& name, MatrixShape shape) {
  bool const inverse = has(name + ".weight_scale_inv");  // DeepSeek's name, though it multiplies, too
  Tensor const& tensor = get(name + (inverse ? ".weight_scale_inv" : ".weight_scale"));
  BlockScales scales{.values = values(tensor)};
  std::int64_t const count = tensor.rows() * tensor.columns();
  constexpr std::int64_t block = 128;
  std::int64_t const block_rows = (shape.rows + block - 1) / block, block_columns = (shape.columns + block - 1) / block;
  if (count == 1) {
    scales.rows_per_scale = shape.rows;
    scales.columns_per_scale = shape.columns;
  } else if (count == shape.rows && (tensor.shape.size() == 1 || tensor.columns() == 1)) {
    scales.columns_per_scale = shape.columns;
  } else if (tensor.shape == std::vector{block_rows, block_columns}) {
    scales.rows_per_scale = scales.columns_per_scale = block;
  } else {
    throw InputError(text(tensor.where(), " has the shape ", shape_text(tensor.shape), "; scales of ",
                          shape_text(std::vector{shape.rows, shape.columns}),
                          " are one, one per row, or one per block of 128 x 128"));
  }
  return scales;
}

RowSource TensorFinder::rows(std::string const& name, MatrixShape shape) {
  Tensor const& tensor = get(name + ".weight", {shape.rows, shape.columns});
  RowSource source = source_of(tensor, 0, shape.rows);
  if (tensor.type == FileType::f8_e4m3) source.scales = scales_of(name, shape);
  return source;
}

RowSource TensorFinder::stacked_rows(std::string const& name, MatrixShape shape, std::int64_t count,
                                     std::int64_t index) {
  Tensor const& tensor = get(name + ".weight", {count, shape.rows, shape.columns});
  if (tensor.type == FileType::f8_e4m3)
    throw InputError(tensor.where() +
                     " has FP8 experts in one tensor, which is not supported; use one tensor per expert");
  return source_of(tensor, index * shape.rows, shape.rows);
}

void TensorFinder::check_all_used(Known const& known) const {
  for (auto const& [name, tensor] : tensors_->all())
    if (name.starts_with(known.prefix) && !used_.contains(name) && !is_needless(name) && !is_beyond(known, name))
      throw InputError(text(tensor.where(),
                            " is not part of the architecture that the configuration names; the "
                            "answers would be wrong without it"));
}

RowSource part_of(RowSource const& source, std::int64_t first, std::int64_t count) {
  RowSource part = source;
  part.rows = count;
  part.read = [read = source.read, first](std::int64_t row, std::int64_t rows, std::span<std::byte> out) {
    read(first + row, rows, out);
  };
  part.scales.first_row += first;
  return part;
}

RowSource columns_from(RowSource const& source, std::int64_t first, std::int64_t columns) {
  RowSource part = source;
  part.file_columns = columns;
  part.first_column = first;
  return part;
}

}  // namespace windlass
