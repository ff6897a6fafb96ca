/// safetensors files.
#include <cstring>
#include <vector>

#include "src/core/error.hpp"
#include "src/model/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace windlass;
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  try {
    TensorTable tensors;
    add_safetensors(tensors, FileBytes::from_memory("fuzz.safetensors", std::move(bytes)));
    for (auto const& [name, tensor] : tensors.all()) {
      std::vector<std::byte> content(tensor.bytes);
      tensor.file->read(tensor.offset, content);
    }
  } catch (InputError const&) {
  }
  return 0;
}
