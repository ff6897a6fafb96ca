#include "src/store/hdf5_file.hpp"

#include <cerrno>
#include <utility>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

hid_t number_type(std::size_t bytes) {
  ensure(bytes == 1 || bytes == 4 || bytes == 8, "a column of a checkpoint has 1, 4 or 8 bytes");
  return bytes == 1 ? H5T_STD_U8LE : bytes == 4 ? H5T_STD_U32LE : H5T_STD_U64LE;
}

Hdf5Id plain_file_access() {
  Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_EARLIEST, H5F_LIBVER_V18);  // what old tools read
  H5Pset_alignment(access.get(), 1 << 16, 4096);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.get(), 0, 1);  // parallel file systems often have no locks; the folder has its own
#endif
  return access;
}

hid_t open_or_create(std::string const& path, Hdf5File::Mode mode) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // failures are thrown, not printed
  errno = 0;
  Hdf5Id const access = plain_file_access();
  if (mode == Hdf5File::Mode::read) return H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get());
  Hdf5Id const creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_userblock(creation.get(), Hdf5File::user_block_bytes);
  return H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get());
}

}  // namespace

Hdf5File::Hdf5File(std::string path, Mode mode) : path_(std::move(path)), file_(open_or_create(path_, mode), H5Fclose) {
  if (file_.get() < 0) fail(mode == Mode::read ? "open it as HDF5" : "create it");
}

void Hdf5File::fail(std::string const& what) const {
  if (errno != 0) throw FileError(path_, what, errno);
  throw FileError(text(path_, ": cannot ", what, " (the HDF5 library refuses; the file may be damaged)"));
}

Hdf5Id Hdf5File::own(hid_t id, Hdf5Id::Close close, std::string const& what) const {
  if (id < 0) fail(what);
  return {id, close};
}

void Hdf5File::require(herr_t result, std::string const& what) const {
  if (result < 0) fail(what);
}

Hdf5Id Hdf5File::table_type(TableType const& type) const {
  Hdf5Id made = own(H5Tcreate(H5T_COMPOUND, type.row_bytes), H5Tclose, "make a table's type");
  for (TableColumn const& column : type.columns)
    require(H5Tinsert(made.get(), column.name, column.offset, number_type(column.bytes)), "make a table's type");
  return made;
}

void Hdf5File::write_table(char const* name, TableType const& type, void const* rows, std::uint64_t count) {
  errno = 0;
  std::string const what = text("write table ", name);
  hsize_t const size = count;
  Hdf5Id const row = table_type(type);
  Hdf5Id const space = own(H5Screate_simple(1, &size, nullptr), H5Sclose, what);
  Hdf5Id const set =
      own(H5Dcreate2(file_.get(), name, row.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose, what);
  if (count > 0) require(H5Dwrite(set.get(), row.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows), what);
}

Hdf5Id Hdf5File::dataset(std::string const& name, NumbersShape const& shape, hid_t creation) const {
  errno = 0;
  hsize_t const size[2] = {shape.rows, shape.width};
  Hdf5Id const space = own(H5Screate_simple(shape.width == 1 ? 1 : 2, size, nullptr), H5Sclose, "make " + name);
  return own(H5Dcreate2(file_.get(), name.c_str(), number_type(shape.element_bytes), space.get(), H5P_DEFAULT, creation,
                        H5P_DEFAULT),
             H5Dclose, "make " + name);
}

void Hdf5File::write_numbers(char const* name, NumbersShape const& shape, void const* values) {
  Hdf5Id const set = dataset(name, shape, H5P_DEFAULT);
  if (shape.rows * shape.width == 0) return;
  require(H5Dwrite(set.get(), number_type(shape.element_bytes), H5S_ALL, H5S_ALL, H5P_DEFAULT, values),
          text("write ", name));
}

std::uint64_t Hdf5File::reserve_numbers(std::string const& name, NumbersShape const& shape) {
  Hdf5Id const creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  Hdf5Id const set = dataset(name, shape, creation.get());
  if (shape.rows * shape.width == 0) return 0;
  haddr_t const offset = H5Dget_offset(set.get());
  if (offset == HADDR_UNDEF) fail("find the place of " + name);
  return offset;  // counted from the file's first byte, the user block included
}

void Hdf5File::write_names(char const* name, std::vector<std::string> const& names) {
  errno = 0;
  std::string const what = text("write ", name);
  std::string padded;
  for (std::string const& each : names) {
    ensure(each.size() < name_bytes, "a name in a checkpoint is too long");
    padded += each + std::string(name_bytes - each.size(), '\0');
  }
  hsize_t const size = names.size();
  Hdf5Id const type = own(H5Tcopy(H5T_C_S1), H5Tclose, what);
  H5Tset_size(type.get(), name_bytes);
  Hdf5Id const space = own(H5Screate_simple(1, &size, nullptr), H5Sclose, what);
  Hdf5Id const set = own(H5Dcreate2(file_.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                         H5Dclose, what);
  if (size > 0) require(H5Dwrite(set.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()), what);
}

void Hdf5File::write_text(char const* name, std::string const& value) {
  errno = 0;
  std::string const what = text("write attribute ", name);
  Hdf5Id const type = own(H5Tcopy(H5T_C_S1), H5Tclose, what);
  H5Tset_size(type.get(), value.size() + 1);
  Hdf5Id const space = own(H5Screate(H5S_SCALAR), H5Sclose, what);
  Hdf5Id const attribute =
      own(H5Acreate2(file_.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
  require(H5Awrite(attribute.get(), type.get(), value.c_str()), what);
}

void Hdf5File::write_number(char const* name, std::uint64_t value) {
  errno = 0;
  std::string const what = text("write attribute ", name);
  Hdf5Id const space = own(H5Screate(H5S_SCALAR), H5Sclose, what);
  Hdf5Id const attribute =
      own(H5Acreate2(file_.get(), name, H5T_STD_U64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
  require(H5Awrite(attribute.get(), H5T_NATIVE_UINT64, &value), what);
}

void Hdf5File::make_group(char const* name) {
  errno = 0;
  own(H5Gcreate2(file_.get(), name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, text("make group ", name));
}

void Hdf5File::link(std::string const& name, std::string const& file) {
  errno = 0;
  require(H5Lcreate_external(file.c_str(), "/", file_.get(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), "link " + file);
}

void Hdf5File::close() {
  errno = 0;
  require(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "write");
  Hdf5Id const closing = std::move(file_);
}

std::uint64_t Hdf5File::rows_of(char const* name) const {
  errno = 0;
  std::string const what = text("read ", name);
  Hdf5Id const set = own(H5Dopen2(file_.get(), name, H5P_DEFAULT), H5Dclose, what);
  Hdf5Id const space = own(H5Dget_space(set.get()), H5Sclose, what);
  hsize_t size[2] = {0, 0};
  int const dimensions = H5Sget_simple_extent_ndims(space.get());
  if (dimensions < 1 || dimensions > 2) fail(what);
  require(H5Sget_simple_extent_dims(space.get(), size, nullptr), what);
  return size[0];
}

void Hdf5File::read_table(char const* name, TableType const& type, void* rows) const {
  if (rows_of(name) == 0) return;
  std::string const what = text("read table ", name);
  Hdf5Id const row = table_type(type);
  Hdf5Id const set = own(H5Dopen2(file_.get(), name, H5P_DEFAULT), H5Dclose, what);
  require(H5Dread(set.get(), row.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows), what);
}

void Hdf5File::read_numbers(char const* name, NumbersShape const& shape, void* values) const {
  if (shape.rows == 0) return;
  std::string const what = text("read ", name);
  Hdf5Id const set = own(H5Dopen2(file_.get(), name, H5P_DEFAULT), H5Dclose, what);
  Hdf5Id const space = own(H5Dget_space(set.get()), H5Sclose, what);
  if (std::uint64_t(H5Sget_simple_extent_npoints(space.get())) != shape.rows * shape.width) fail(what);
  require(H5Dread(set.get(), number_type(shape.element_bytes), H5S_ALL, H5S_ALL, H5P_DEFAULT, values), what);
}

std::vector<std::string> Hdf5File::read_names(char const* name) const {
  std::string const what = text("read ", name);
  std::string padded(rows_of(name) * name_bytes, '\0');
  Hdf5Id const type = own(H5Tcopy(H5T_C_S1), H5Tclose, what);
  H5Tset_size(type.get(), name_bytes);
  Hdf5Id const set = own(H5Dopen2(file_.get(), name, H5P_DEFAULT), H5Dclose, what);
  if (!padded.empty()) require(H5Dread(set.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()), what);
  std::vector<std::string> names;
  for (std::size_t at = 0; at < padded.size(); at += name_bytes) names.emplace_back(padded.data() + at);
  return names;
}

std::string Hdf5File::read_text(char const* name) const {
  errno = 0;
  std::string const what = text("read attribute ", name);
  Hdf5Id const attribute = own(H5Aopen(file_.get(), name, H5P_DEFAULT), H5Aclose, what);
  Hdf5Id const type = own(H5Aget_type(attribute.get()), H5Tclose, what);
  std::string value(H5Tget_size(type.get()), '\0');
  require(H5Aread(attribute.get(), type.get(), value.data()), what);
  value.resize(value.find('\0') == std::string::npos ? value.size() : value.find('\0'));
  return value;
}

std::uint64_t Hdf5File::read_number(char const* name) const {
  errno = 0;
  std::string const what = text("read attribute ", name);
  Hdf5Id const attribute = own(H5Aopen(file_.get(), name, H5P_DEFAULT), H5Aclose, what);
  std::uint64_t value = 0;
  require(H5Aread(attribute.get(), H5T_NATIVE_UINT64, &value), what);
  return value;
}

}  // namespace windlass
