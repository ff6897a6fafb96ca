/// How model files are read.
#pragma once

namespace windlass {

enum class LoadMode : unsigned char {
  automatic,  ///< `map` on local file systems, else `read`
  map,        ///< straight from the page cache, in pieces as small as a panel of weights
  read        ///< pieces of 16 MiB, several at a time: for network file systems
};

}  // namespace windlass
