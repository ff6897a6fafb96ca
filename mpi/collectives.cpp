#include "mpi/collectives.hpp"

#include <optional>
#include <string>

#include "mpi/communicators.hpp"
#include "mpi/host_collective.hpp"
#include "mpi/message_collective.hpp"
#include "mpi/shared_segment.hpp"
#include "src/core/bytes_text.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

/// [world ranks] what each rank says.
std::vector<std::string> say(std::string const& words) {
  std::vector<std::string> all;
  for (auto const& bytes : gather_from_all(std::as_bytes(std::span(words.data(), words.size()))))
    all.emplace_back(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  return all;
}

/// The leader's new segment, or why there is none.
std::string try_create(std::string const& name, std::size_t bytes, std::optional<SharedSegment>& segment) {
  try {
    if (std::size_t const room = shared_memory_room(); bytes > room)
      return text("/dev/shm has room for ", bytes_text(room), ", not for ", bytes_text(bytes));
    segment = SharedSegment::create(name, bytes);
  } catch (FileError const& error) {
    return error.what();
  }
  return "";
}

std::string try_open(std::string const& name, std::optional<SharedSegment>& segment) {
  try {
    segment = SharedSegment::open(name, SharedSegment::Access::read_write);
  } catch (FileError const& error) {
    return error.what();
  }
  return "";
}

}  // namespace

std::unique_ptr<Collective> make_collective(InstanceRanks const& own) {
  CollectiveConfig const config;
  CollectivePlace const place{.degree = int(own.world_ranks.size()), .instance_rank = own.instance_rank};
  bool const several = place.degree > 1, leads = own.instance_rank == 0;
  bool const shares = several && own.reach == InstanceReach::one_host;
  std::string const name = several ? text("/windlass-", own.job_epoch, "-", own.world_ranks.front()) : "";
  std::optional<SharedSegment> segment;
  std::string problem;
  if (shares && leads) problem = try_create(name, HostCollective::segment_bytes(place.degree, config), segment);
  std::string const made = several ? say(problem)[std::size_t(own.world_ranks.front())] : say("").front();
  if (shares && !leads && made.empty()) problem = try_open(name, segment);
  auto const opened = say(problem);
  if (segment && leads) SharedSegment::remove_name(name);
  if (!several) return std::make_unique<LocalCollective>();
  problem.clear();
  for (int const rank : own.world_ranks)
    if (problem.empty()) problem = opened[std::size_t(rank)];
  if (shares && problem.empty()) return std::make_unique<HostCollective>(std::move(*segment), place, config);
  if (shares && leads)
    log_warning(text("the ranks of an instance cannot share memory (", problem,
                     "): they exchange by messages, which is slower"));
  return std::make_unique<MessageCollective>(own.world_ranks, place, config);
}

}  // namespace windlass
