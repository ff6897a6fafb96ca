/// config.json of Hugging Face folders.
#include <cstring>
#include <string_view>

#include "src/core/error.hpp"
#include "src/model/architecture/hugging_face.hpp"

namespace {

/// A table with the one tensor that a configuration is looked up by.
windlass::TensorTable small_table() {
  windlass::TensorTable tensors;
  auto const file = tensors.add_file(windlass::FileBytes::from_memory("fuzz", {}));
  tensors.add({.name = "model.embed_tokens.weight", .shape = {0, 0}, .file = file.get()});
  return tensors;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace windlass;
  try {
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    blueprint_from_config(parse_json_object(text, "fuzz"), small_table(), "fuzz");
  } catch (InputError const&) {
  }
  return 0;
}
