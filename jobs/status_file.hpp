/// The file in which a launcher reads how the job stands: where mpirun garbles exit codes, it is the truth.
#pragma once

#include <exception>
#include <string>

namespace windlass {

/// The first line is one word: running, done, again or failed; the second a JSON object with "pid", "host", "detail"
/// and "exit_code": what a script is to be told if nothing comes after it.
class StatusFile {
 public:
  /// An empty path: no file.
  explicit StatusFile(std::string path) : path_(std::move(path)) {}
  /// Replaces the file as a whole. Throws FileError.
  void write(std::string const& word, std::string const& detail) const;
  /// The word is "failed": of the input's sake (exit_usage) or the machine's (exit_failed).
  void fail(std::exception const& error) const;

 private:
  void replace(std::string const& word, std::string const& detail, int exit_code) const;
  std::string path_;
};

}  // namespace windlass
