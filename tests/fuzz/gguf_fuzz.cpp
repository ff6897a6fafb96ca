/// GGUF files: headers, configuration, and packing whatever passes them.
#include <cstring>
#include <vector>

#include "src/core/error.hpp"
#include "src/core/thread_team.hpp"
#include "src/model/architecture/gguf_blueprint.hpp"
#include "src/model/weight_loader.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace windlass;
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  ThreadTeam team({.threads = 1});
  try {
    GgufFile const file(FileBytes::from_memory("fuzz.gguf", std::move(bytes)));
    load_weights(blueprint_from_gguf(file), file.tensors(), Precision::fast, team);
  } catch (InputError const&) {
  }
  return 0;
}
