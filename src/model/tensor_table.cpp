#include "src/model/tensor_table.hpp"

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {

std::int64_t Tensor::rows() const {
  std::int64_t product = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

std::string Tensor::where() const { return text(file->path(), ": tensor ", name); }

std::string shape_text(std::span<std::int64_t const> shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += text(i == 0 ? "" : ", ", shape[i]);
  return out + "]";
}

std::shared_ptr<FileBytes const> TensorTable::add_file(FileBytes file) {
  files_.push_back(std::make_shared<FileBytes const>(std::move(file)));
  return files_.back();
}

void TensorTable::add(Tensor tensor) {
  auto const [at, inserted] = tensors_.try_emplace(tensor.name, tensor);
  if (!inserted) throw InputError(text(tensor.where(), " is there twice (also in ", at->second.file->path(), ")"));
}

void TensorTable::add_unsupported(std::string name, std::string problem) {
  unsupported_.insert_or_assign(std::move(name), std::move(problem));
}

Tensor const* TensorTable::find(std::string_view name) const {
  auto const bad = unsupported_.find(name);
  if (bad != unsupported_.end())
    throw InputError(bad->second + ", which is not supported (F32, F16, BF16 and F8_E4M3 are); convert the model");
  auto const at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

bool TensorTable::contains(std::string_view name) const {
  return tensors_.contains(name) || unsupported_.contains(name);
}

std::uint64_t TensorTable::file_bytes() const {
  std::uint64_t bytes = 0;
  for (auto const& file : files_) bytes += file->size();
  return bytes;
}

std::int64_t checked_elements(std::span<std::int64_t const> shape, std::string const& where) {
  constexpr std::int64_t limit = std::int64_t(1) << 48;
  std::int64_t elements = 1;
  for (std::int64_t const size : shape) {
    if (size < 0 || size > limit || (size > 0 && elements > limit / size))
      throw InputError(text(where, " has the impossible shape ", shape_text(shape)));
    elements *= size;
  }
  return elements;
}

}  // namespace windlass
