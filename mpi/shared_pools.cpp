#include "mpi/shared_pools.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "mpi/communicators.hpp"
#include "mpi/machine_name.hpp"
#include "mpi/wire.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

/// Why so much memory that is shared may not be had when it is first touched, where that is known now: the process
/// would end by a signal.
std::string obstacle(std::size_t bytes) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)
    return text("files may not be larger than ", limit.rlim_cur, " bytes (ulimit -f)");
  std::string overcommit;
  std::getline(std::ifstream("/proc/sys/vm/overcommit_memory"), overcommit);
  return overcommit == "2" ? "the system promises no memory that it may not have (vm.overcommit_memory = 2)" : "";
}

}  // namespace

/// Address space for all parts of a pool.
struct SharedPools::Mapping {
  Mapping(std::size_t wanted_bytes) : bytes(wanted_bytes) {
    void* const memory = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) base = static_cast<std::byte*>(memory);
  }
  ~Mapping() {
    if (base != nullptr) ::munmap(base, bytes);
  }
  Mapping(Mapping const&) = delete;
  Mapping& operator=(Mapping const&) = delete;

  bool place(int descriptor, std::size_t offset, std::size_t part_bytes) const {
    void* const part = ::mmap(base + offset, part_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                              descriptor, 0);
    if (part == MAP_FAILED) return false;
    ::madvise(part, part_bytes, MADV_HUGEPAGE);  // a hint
    return true;
  }

  std::byte* base = nullptr;
  std::size_t bytes = 0;
};

SharedPools::SharedPools(Takes takes) : world_rank_(world_place().world_rank) {
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  std::string const name = machine_name();
  WireWriter own;
  own.put_text(takes == Takes::part && !name.empty() ? text(name, " ", host) : "");
  auto const all = gather_from_all(own.take());
  auto const machine_of = [&](std::size_t rank) { return WireReader(all[rank], "machine of a rank").get_text(); };
  std::string const machine = machine_of(std::size_t(world_rank_));
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (!machine.empty() && machine_of(rank) == machine) ranks_.push_back(int(rank));
  own_ = std::size_t(std::find(ranks_.begin(), ranks_.end(), world_rank_) - ranks_.begin());
}

SharedPools::~SharedPools() { close_descriptors(); }

void SharedPools::close_descriptors() {
  for (Pool& pool : pools_)
    if (int const descriptor = std::exchange(pool.descriptor, -1); descriptor >= 0) ::close(descriptor);
}

std::shared_ptr<PageMemory> SharedPools::reserve(std::size_t page_bytes, std::uint32_t pages) {
  std::size_t const part_bytes = page_bytes * pages;
  Pool& pool = pools_.emplace_back();
  pool = {.mapping = nullptr, .page_bytes = page_bytes, .pages = pages, .descriptor = -1};
  std::string why = obstacle(part_bytes);
  if (why.empty() && !make_part(pool)) why = std::strerror(errno);
  if (!why.empty()) {
    problem_ = text("rank ", world_rank_, " cannot have ", part_bytes, " bytes of shared memory: ", why);
    return nullptr;
  }
  auto memory = std::make_shared<PageMemory>();
  *memory = {.base = pool.mapping->base,
             .all_pages = std::uint32_t(pages * ranks_.size()),
             .first_page = std::uint32_t(pages * own_),
             .keeper = pool.mapping};
  return memory;
}

bool SharedPools::make_part(Pool& pool) const {
  std::size_t const part_bytes = pool.page_bytes * pool.pages;
  pool.mapping = std::make_shared<Mapping>(part_bytes * ranks_.size());
  pool.descriptor = ::memfd_create("windlass-kv", MFD_CLOEXEC);
  return pool.mapping->base != nullptr && pool.descriptor >= 0 &&
         ::ftruncate(pool.descriptor, off_t(part_bytes)) == 0 &&
         pool.mapping->place(pool.descriptor, own_ * part_bytes, part_bytes);
}

/// What the first rank with a problem says; empty where there is none.
std::string SharedPools::first_problem(std::string const& own) const {
  for (auto const& words : gather_from_all(std::as_bytes(std::span(own.data(), own.size()))))
    if (!words.empty()) return {reinterpret_cast<char const*>(words.data()), words.size()};
  return "";
}

bool SharedPools::connect() {
  WireWriter own;
  own.put(int(::getpid()));
  own.put(std::uint64_t(pools_.size()));
  for (Pool const& pool : pools_) {
    own.put(std::uint64_t(pool.page_bytes));
    own.put(std::uint64_t(pool.pages));
    own.put(pool.descriptor);
  }
  auto const parts = gather_from_all(own.take());
  problem_ = first_problem(problem_);  // what ranks lack comes before what others miss of them
  if (problem_.empty()) problem_ = first_problem(takes_part() ? map_peers(parts) : "");
  close_descriptors();  // every rank has opened what it maps
  connected_ = problem_.empty();
  return connected_;
}

/// Through /proc: a file without a name is opened by its process and number.
std::string SharedPools::map_peers(std::vector<std::vector<std::byte>> const& all) {
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    if (i == own_) continue;
    WireReader in(all[std::size_t(ranks_[i])], "pools of a rank");
    int const process = in.get<int>();
    if (in.get<std::uint64_t>() != pools_.size()) return text("rank ", ranks_[i], " has other layer groups");
    for (Pool const& pool : pools_) {
      auto const page_bytes = in.get<std::uint64_t>(), pages = in.get<std::uint64_t>();
      std::string const path = text("/proc/", process, "/fd/", in.get<int>());
      if (page_bytes != pool.page_bytes || pages != pool.pages)
        return text("rank ", ranks_[i], " has a pool of another size");
      int const descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      std::size_t const part_bytes = pool.page_bytes * pool.pages;
      bool const mapped = descriptor >= 0 && pool.mapping->place(descriptor, i * part_bytes, part_bytes);
      int const why = errno;
      if (descriptor >= 0) ::close(descriptor);
      if (!mapped) return text("the pages of rank ", ranks_[i], " cannot be mapped: ", std::strerror(why));
    }
  }
  return "";
}

bool SharedPools::reaches(int world_rank) const {
  return connected_ && std::binary_search(ranks_.begin(), ranks_.end(), world_rank);
}

int SharedPools::owner(std::size_t group, std::uint32_t page) const {
  std::size_t const index = page / pools_.at(group).pages;
  return index < ranks_.size() ? ranks_[index] : -1;
}

}  // namespace windlass
