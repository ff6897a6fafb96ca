/// The file in which a launcher reads how the job stands: where mpirun garbles exit codes, it is the truth.
#pragma once

#include <string>

namespace windlass {

/// The first line is one word: running, done, again or failed; the second a JSON object with "pid", "host" and
/// "detail".
class StatusFile {
 public:
  /// An empty path: no file.
  explicit StatusFile(std::string path) : path_(std::move(path)) {}
  /// Replaces the file as a whole. Throws FileError.
  void write(std::string const& word, std::string const& detail) const;

 private:
  std::string path_;
};

}  // namespace windlass
