/// Page pools in memory that all ranks of a machine map: a page changes hands without being copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/kv/page_pool.hpp"

namespace windlass {

/// Each rank's part of a pool is a file in memory (memfd) of its own: it needs no room in /dev/shm, has no name that a
/// dead rank could leave behind, and lives as long as somebody maps it. Parts lie one behind the other, in the order of
/// ranks, so that a page has the same number everywhere. Who writes a page is whoever holds the request that it belongs
/// to; the message that hands it over makes what was written visible.
class SharedPools {
 public:
  enum class Takes : std::uint8_t { no_part, part };
  /// Collective over the job. Ranks without pages take no part. Ranks of one kernel that have unlike host names (made
  /// hosts in network namespaces) share nothing.
  explicit SharedPools(Takes takes);
  ~SharedPools();
  SharedPools(SharedPools const&) = delete;
  SharedPools& operator=(SharedPools const&) = delete;

  bool takes_part() const { return own_ < ranks_.size(); }
  /// Memory for the pool of the next group, whose pages are this rank's own; every rank asks for the same groups.
  /// Local. Null where the system refuses, or would end the process when it touches them: then connect() fails on all
  /// ranks.
  std::shared_ptr<PageMemory> reserve(std::size_t page_bytes, std::uint32_t pages);

  /// Collective over the job, when all ranks have reserved: maps the other ranks' parts. False on every rank, with
  /// problem() set, where one of them could not: then pools are private.
  bool connect();
  std::string const& problem() const { return problem_; }

  /// Whether that rank's pages can be used here.
  bool reaches(int world_rank) const;
  /// Of the page's part; -1: of nobody.
  int owner(std::size_t group, std::uint32_t page) const;

 private:
  struct Mapping;
  struct Pool {
    std::shared_ptr<Mapping> mapping;
    std::size_t page_bytes = 0;
    std::uint32_t pages = 0;  // of each rank
    int descriptor = -1;      // of this rank's part, until connect() is over
  };
  bool make_part(Pool& pool) const;
  std::string first_problem(std::string const& own) const;
  std::string map_peers(std::vector<std::vector<std::byte>> const& all);
  void close_descriptors();

  int world_rank_;

  std::vector<int> ranks_;  // of this machine that take part, rising
  std::size_t own_ = 0;     // index into it; its size: this rank takes none
  std::vector<Pool> pools_;
  bool connected_ = false;
  std::string problem_;
};

}  // namespace windlass
