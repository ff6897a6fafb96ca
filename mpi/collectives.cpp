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

/// Whoever waits for another stage waits for its computing: a rank that hangs is found by its heartbeats, much sooner.
constexpr Microseconds stage_silence_us = 1'200'000'000;
constexpr std::size_t lane_bytes = std::size_t{2} << 20;

struct Group {
  std::vector<int> world_ranks;
  int own_index = 0;
  InstanceReach reach = InstanceReach::one_host;
  std::uint64_t job_epoch = 0;
  CollectiveConfig config;
};

std::unique_ptr<Collective> make_group(Group const& own) {
  CollectiveConfig const& config = own.config;
  CollectivePlace const place{.degree = int(own.world_ranks.size()), .instance_rank = own.own_index};
  bool const several = place.degree > 1, leads = own.own_index == 0;
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

/// The ranks of this rank's stage.
Group stage_group(InstanceRanks const& own) {
  int const tp = int(own.world_ranks.size()) / own.stages;
  Group group{.world_ranks = {},
              .own_index = tp > 0 ? own.instance_rank % tp : 0,
              .reach = own.stage_reach,
              .job_epoch = own.job_epoch,
              .config = {}};
  if (own.stages == 1) return group;
  auto const first = own.world_ranks.begin() + own.instance_rank / tp * tp;
  group.world_ranks.assign(first, first + tp);
  return group;
}

}  // namespace

std::unique_ptr<Collective> make_collective(InstanceRanks const& own) {
  CollectiveConfig config;
  if (own.stages > 1) config.silence_us = stage_silence_us;
  if (own.stages > 1) config.lane_bytes = lane_bytes;
  auto all = make_group({.world_ranks = own.world_ranks,
                         .own_index = own.instance_rank,
                         .reach = own.reach,
                         .job_epoch = own.job_epoch,
                         .config = config});
  if (own.most_stages == 1) return all;
  auto stage = make_group(stage_group(own));
  if (own.stages == 1) return all;
  return std::make_unique<StagedCollective>(std::move(all), std::move(stage));
}

}  // namespace windlass
