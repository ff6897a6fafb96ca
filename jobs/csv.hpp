/// Tables of comma-separated values with a line of names.
#pragma once

#include <string>
#include <vector>

namespace windlass {

struct Table {
  std::string path;
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> rows;  ///< [rows][names]

  /// Column of `name`. Throws InputError that names the file and the columns there are.
  std::size_t column(std::string const& name) const;
  /// The number in a cell. Throws InputError that names file, line and column.
  double value(std::size_t row, std::size_t column) const;
};

/// Throws FileError where the file cannot be read, InputError where a line has another number of cells.
Table read_csv(std::string const& path);

}  // namespace windlass
