/// gzip and zstd input.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "src/serve/input_stream.hpp"

namespace windlass {

enum class Compression : unsigned char { none, gzip, zstd };

/// Told by the first four bytes of the data.
Compression compression_of(std::string_view first_bytes);

/// A stream of what `stored` holds compressed; files of several gzip members or zstd frames are read to their end.
/// `name` is for messages. Throws InputError where this build cannot decompress.
std::unique_ptr<InputStream> decompressed(std::unique_ptr<InputStream> stored, Compression compression,
                                          std::string const& name);

}  // namespace windlass
