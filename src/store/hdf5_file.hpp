/// The part of HDF5 that checkpoints use: flat tables of numbers, attributes and links. One thread at a time, since the
/// library is built without its lock. Every failure is a FileError that names the file and the object.
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace windlass {

/// Owns one HDF5 id.
class Hdf5Id {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Id(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Id() {
    if (id_ >= 0) close_(id_);
  }
  Hdf5Id(Hdf5Id&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
  Hdf5Id(Hdf5Id const&) = delete;
  Hdf5Id& operator=(Hdf5Id const&) = delete;
  hid_t get() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

/// A column of a table: unsigned, 4 or 8 bytes.
struct TableColumn {
  char const* name;
  std::size_t offset, bytes;
};

/// Rows of one C++ struct; every byte of it belongs to a column.
struct TableType {
  std::span<TableColumn const> columns;
  std::size_t row_bytes = 0;
};

/// A two-dimensional dataset of plain numbers: rows of `width` elements of `element_bytes` (1, 4 or 8) bytes.
struct NumbersShape {
  std::uint64_t rows = 0, width = 1;
  std::size_t element_bytes = 1;
};

class Hdf5File {
 public:
  enum class Mode : unsigned char { create, read };
  /// The first `user_block_bytes` of the file are not HDF5's.
  Hdf5File(std::string path, Mode mode);
  static constexpr std::uint64_t user_block_bytes = 4096;

  void write_table(char const* name, TableType const& type, void const* rows, std::uint64_t count);
  void write_numbers(char const* name, NumbersShape const& shape, void const* values);
  static constexpr std::size_t name_bytes = 64;
  void write_names(char const* name, std::vector<std::string> const& names);  ///< each shorter than name_bytes
  void write_text(char const* name, std::string const& value);                ///< an attribute of the root
  void write_number(char const* name, std::uint64_t value);                   ///< the same
  void make_group(char const* name);
  void link(std::string const& name, std::string const& file);  ///< an external link to the root of another file
  /// A dataset with room in the file and no content yet; where its bytes lie once the file is closed.
  std::uint64_t reserve_numbers(std::string const& name, NumbersShape const& shape);
  /// Writes what is buffered. Throws FileError; without it the destructor closes and says nothing.
  void close();

  std::uint64_t rows_of(char const* name) const;
  /// Fills `rows` [rows_of(name)].
  void read_table(char const* name, TableType const& type, void* rows) const;
  void read_numbers(char const* name, NumbersShape const& shape, void* values) const;
  std::vector<std::string> read_names(char const* name) const;
  std::string read_text(char const* name) const;
  std::uint64_t read_number(char const* name) const;

 private:
  [[noreturn]] void fail(std::string const& what) const;
  Hdf5Id own(hid_t id, Hdf5Id::Close close, std::string const& what) const;
  void require(herr_t result, std::string const& what) const;
  Hdf5Id table_type(TableType const& type) const;
  Hdf5Id dataset(std::string const& name, NumbersShape const& shape, hid_t creation) const;

  std::string path_;
  Hdf5Id file_;
};

}  // namespace windlass
