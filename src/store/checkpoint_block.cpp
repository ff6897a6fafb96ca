#include "src/store/checkpoint_block.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "src/core/checksum.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr char magic[16] = "windlass-kv";

std::uint64_t own_checksum(UserBlock const& block) {
  return checksum(std::as_bytes(std::span(&block, 1)).first(offsetof(UserBlock, checksum)), checkpoint_format);
}

[[noreturn]] void damaged(std::string const& path, std::string const& how) {
  throw FileError(text(path, ": damaged (", how, ")"));
}

/// Ranges [begin, end) of the file that hold neither the user block nor pages.
std::vector<std::pair<std::uint64_t, std::uint64_t>> digested_ranges(UserBlock const& block) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> pages;
  for (std::uint64_t group = 0; group < block.groups; ++group)
    if (UserBlock::Pages const& each = block.pages[group]; each.rows > 0)
      pages.emplace_back(each.offset, each.offset + each.rows * each.page_bytes);
  std::sort(pages.begin(), pages.end());
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  std::uint64_t at = user_block_bytes;
  for (auto const& [begin, end] : pages) {
    if (begin > at) ranges.emplace_back(at, begin);
    at = std::max(at, end);
  }
  if (block.file_bytes > at) ranges.emplace_back(at, block.file_bytes);
  return ranges;
}

bool possible(UserBlock const& block) {
  if (block.groups > std::uint64_t(max_layer_groups)) return false;
  for (UserBlock::Pages const& each : block.pages) {
    if (each.rows == 0) continue;
    if (each.page_bytes == 0 || each.offset > block.file_bytes) return false;
    if (each.rows > (block.file_bytes - each.offset) / each.page_bytes) return false;
  }
  return true;
}

}  // namespace

void read_at(OpenFile const& file, std::uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    ssize_t const got = ::pread(file.descriptor(), out.data(), out.size(), off_t(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw FileError(file.path(), "read", errno);
    if (got == 0) damaged(file.path(), "it ends early");
    out = out.subspan(std::size_t(got));
    offset += std::uint64_t(got);
  }
}

void write_at(OpenFile const& file, std::uint64_t offset, std::span<std::byte const> bytes) {
  while (!bytes.empty()) {
    ssize_t const written = ::pwrite(file.descriptor(), bytes.data(), bytes.size(), off_t(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw FileError(file.path(), "write", errno);
    bytes = bytes.subspan(std::size_t(written));
    offset += std::uint64_t(written);
  }
}

std::uint64_t digest_of(OpenFile const& file, UserBlock const& block) {
  std::uint64_t digest = checkpoint_format;
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  for (auto [at, end] : digested_ranges(block))
    while (at < end) {
      auto const part = std::span(buffer).first(std::size_t(std::min<std::uint64_t>(end - at, buffer.size())));
      read_at(file, at, part);
      digest = checksum(part, digest);
      at += part.size();
    }
  return digest;
}

void seal(OpenFile const& file, UserBlock block) {
  std::memcpy(block.magic, magic, sizeof magic);
  block.format = checkpoint_format;
  block.file_bytes = file.size_bytes();
  block.digest = digest_of(file, block);
  block.checksum = own_checksum(block);
  write_at(file, 0, std::as_bytes(std::span(&block, 1)));
  if (::fsync(file.descriptor()) != 0) throw FileError(file.path(), "sync", errno);
}

UserBlock read_user_block(OpenFile const& file) {
  UserBlock block;
  if (file.size_bytes() < user_block_bytes) damaged(file.path(), "it is shorter than its header");
  read_at(file, 0, std::as_writable_bytes(std::span(&block, 1)));
  if (std::memcmp(block.magic, magic, sizeof magic) != 0)
    throw FileError(text(file.path(), ": not a file of a windlass checkpoint"));
  if (block.checksum != own_checksum(block)) damaged(file.path(), "its header has changed");
  if (block.format != checkpoint_format)
    throw InputError(text(file.path(), ": checkpoint format ", block.format, ", this version reads ", checkpoint_format,
                          "; use the version that wrote it, or another --checkpoint folder"));
  if (block.file_bytes != file.size_bytes())
    damaged(file.path(), text("it has ", file.size_bytes(), " of ", block.file_bytes, " bytes"));
  if (!possible(block)) damaged(file.path(), "its header is impossible");
  return block;
}

UserBlock verified_user_block(std::string const& path) {
  OpenFile const file(path, O_RDONLY);
  UserBlock const block = read_user_block(file);
  if (digest_of(file, block) != block.digest) damaged(path, "its tables have changed");
  return block;
}

std::uint64_t salt_of(PageName const& name) { return name.name.low ^ (name.name.high * 31) ^ name.group; }

Hash128 partial_name(Hash128 request, std::uint32_t choice, std::uint32_t computed) {
  std::uint32_t const place[2] = {choice, computed};
  return hash_bytes(std::as_bytes(std::span(place)), request);
}

}  // namespace windlass
