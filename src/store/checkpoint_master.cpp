#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <sstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"
#include "src/store/checkpoint_block.hpp"
#include "src/store/hdf5_file.hpp"

namespace windlass {
namespace {

constexpr TableColumn group_columns[] = {
    {"layers", offsetof(CheckpointGroup, layers), 4},
    {"kv_heads", offsetof(CheckpointGroup, kv_heads), 4},
    {"head_dim", offsetof(CheckpointGroup, head_dim), 4},
    {"window_tokens", offsetof(CheckpointGroup, window_tokens), 4},
    {"page_bytes", offsetof(CheckpointGroup, page_bytes), 8},
};
constexpr TableType group_type{group_columns, sizeof(CheckpointGroup)};

/// One "name = value" a line; line ends in values become spaces.
std::string configuration_text(std::map<std::string, std::string> const& configuration) {
  std::string lines;
  for (auto const& [name, value] : configuration) {
    std::string flat = value;
    std::replace(flat.begin(), flat.end(), '\n', ' ');
    lines += text(name, " = ", flat, "\n");
  }
  return lines.substr(0, 60'000);  // an attribute holds 64 KiB
}

std::map<std::string, std::string> configuration_of(std::string const& lines) {
  std::map<std::string, std::string> configuration;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);)
    if (auto const at = line.find(" = "); at != std::string::npos)
      configuration[line.substr(0, at)] = line.substr(at + 3);
  return configuration;
}

void write_content(Hdf5File& file, CheckpointMaster const& master) {
  CheckpointIdentity const& identity = master.identity;
  file.write_number("format", checkpoint_format);
  file.write_number("number", master.number);
  file.write_number("written_unix_s", std::uint64_t(master.written_unix_s));
  file.write_number("planned_end", master.planned_end ? 1 : 0);
  file.write_number("block_tokens", block_tokens);
  file.write_text("model", identity.model);
  file.write_text("tokenizer", identity.tokenizer);
  file.write_text("arithmetic", identity.arithmetic);
  file.write_text("kv_format", identity.kv_format);
  file.write_text("configuration", configuration_text(master.configuration));
  file.write_table("groups", group_type, identity.groups.data(), identity.groups.size());
  file.write_names("parts", master.parts);
  file.write_numbers("part_digests", {.rows = master.part_digests.size(), .element_bytes = 8},
                     master.part_digests.data());
  for (std::size_t i = 0; i < master.parts.size(); ++i) file.link(text("part", i), master.parts[i]);
}

}  // namespace

std::uint64_t write_master(std::string const& folder, std::string const& name, CheckpointMaster const& master) {
  std::string const path = folder + "/" + name, beside = path + ".new";
  {
    Hdf5File file(beside, Hdf5File::Mode::create);
    write_content(file, master);
    file.close();
  }
  std::uint64_t bytes = 0;
  {
    OpenFile const file(beside, O_RDWR);
    seal(file, {});
    bytes = file.size_bytes();
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) throw FileError(path, "rename its new content to it", errno);
  sync_folder_of(path);
  return bytes;
}

CheckpointMaster read_master(std::string const& path) {
  verified_user_block(path);
  Hdf5File const file(path, Hdf5File::Mode::read);
  CheckpointMaster master{.identity = {.model = file.read_text("model"),
                                       .tokenizer = file.read_text("tokenizer"),
                                       .arithmetic = file.read_text("arithmetic"),
                                       .kv_format = file.read_text("kv_format"),
                                       .groups = {}},
                          .number = file.read_number("number"),
                          .written_unix_s = std::int64_t(file.read_number("written_unix_s")),
                          .planned_end = file.read_number("planned_end") != 0,
                          .configuration = configuration_of(file.read_text("configuration")),
                          .parts = file.read_names("parts"),
                          .part_digests = {}};
  master.identity.groups.resize(file.rows_of("groups"));
  file.read_table("groups", group_type, master.identity.groups.data());
  master.part_digests.resize(file.rows_of("part_digests"));
  file.read_numbers("part_digests", {.rows = master.part_digests.size(), .element_bytes = 8},
                    master.part_digests.data());
  if (master.part_digests.size() != master.parts.size())
    throw FileError(text(path, ": damaged (parts without digest)"));
  return master;
}

}  // namespace windlass
