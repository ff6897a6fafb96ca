#include "jobs/csv.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

std::vector<std::string> cells_of(std::string const& line) {
  std::vector<std::string> cells(1);
  for (char const c : line) {
    if (c == ',')
      cells.emplace_back();
    else if (c != '\r')
      cells.back() += c;
  }
  return cells;
}

}  // namespace

std::size_t Table::column(std::string const& name) const {
  auto const found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return std::size_t(found - names.begin());
  std::string known;
  for (std::string const& each : names) known += (known.empty() ? "" : ", ") + each;
  throw InputError(text(path, ":1: has no column ", name, "; its columns are ", known));
}

double Table::value(std::size_t row, std::size_t column) const {
  std::string const& cell = rows[row][column];
  double number = 0;
  auto const [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
  if (error != std::errc() || end != cell.data() + cell.size())
    throw InputError(text(path, ":", row + 2, ": column ", names[column], " holds \"", cell, "\", not a number"));
  return number;
}

Table read_csv(std::string const& path) {
  std::ifstream file(path);
  if (!file) throw FileError(path, "open", errno);
  Table table{.path = path, .names = {}, .rows = {}};
  std::string line;
  while (std::getline(file, line)) {
    auto cells = cells_of(line);
    if (table.names.empty()) {
      table.names = std::move(cells);
    } else if (!line.empty()) {
      if (cells.size() != table.names.size())
        throw InputError(text(path, ":", table.rows.size() + 2, ": has ", cells.size(),
                              " cells where the first line has ", table.names.size()));
      table.rows.push_back(std::move(cells));
    }
  }
  if (table.names.empty()) throw InputError(text(path, ": is empty; its first line must name the columns"));
  return table;
}

}  // namespace windlass
