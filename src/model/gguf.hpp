/// Reader of GGUF files, versions 2 and 3 (little endian):
/// "GGUF", u32 version, u64 tensors, u64 keys; the keys (text, u32 type, value); the tensors (text, u32 dimensions,
/// u64 sizes innermost first, u32 type, u64 offset); then, aligned to general.alignment, the tensors' bytes.
#pragma once

#include <string>

#include "src/model/metadata.hpp"
#include "src/model/tensor_table.hpp"

namespace windlass {

class GgufFile {
 public:
  /// Throws FileError, or InputError naming the file and the key or tensor that is wrong.
  GgufFile(std::string const& path, LoadMode mode) : GgufFile(FileBytes(path, mode)) {}
  explicit GgufFile(FileBytes file);

  Metadata const& metadata() const { return metadata_; }
  TensorTable const& tensors() const { return tensors_; }

 private:
  Metadata metadata_;
  TensorTable tensors_;
};

}  // namespace windlass
