#include "mpi/shared_weights.hpp"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "mpi/communicators.hpp"
#include "mpi/shared_counter.hpp"
#include "src/core/bytes_text.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr std::size_t head_bytes = 4096;
constexpr std::uint32_t complete = 1, failed = 2;
constexpr Microseconds look_us = 1'000'000, longest_us = 1'800'000'000;

/// [world ranks] what each rank says.
std::vector<std::string> say(std::string const& words) {
  std::vector<std::string> all;
  for (auto const& bytes : gather_from_all(std::as_bytes(std::span(words.data(), words.size()))))
    all.emplace_back(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  return all;
}

template <class Attempt>
std::string problem_of(Attempt const& attempt) {
  try {
    attempt();
  } catch (FileError const& error) {
    return error.what();
  }
  return "";
}

}  // namespace

struct SharedWeights::Header {
  SharedCounter state;
  std::int64_t packer;  ///< process id
};

SharedWeights::SharedWeights(SharedSegment segment, Part part) : segment_(std::move(segment)), part_(part) {
  ensure(segment_.bytes().size() >= head_bytes, "the segment of the weights is too small");
  if (part == Part::packs) header().packer = ::getpid();
}

SharedWeights::Header& SharedWeights::header() const { return *reinterpret_cast<Header*>(segment_.bytes().data()); }

std::span<std::byte> SharedWeights::bytes() const { return segment_.bytes().subspan(head_bytes); }

void SharedWeights::tell(bool are_complete) { header().state.raise_to(are_complete ? complete : failed); }

void SharedWeights::wait() const {
  for (Microseconds waited = 0; !header().state.wait_for(complete, look_us); waited += look_us) {
    bool const dead = ::kill(pid_t(header().packer), 0) != 0 && errno == ESRCH;
    if (dead || waited > longest_us)
      throw InputError(text("the process that loads the weights for this host ", dead ? "died" : "does not finish",
                            "; start again"));
  }
  if (header().state.value() == failed)
    throw InputError("the process that loads the weights for this host could not load them");
}

std::optional<SharedWeights> share_weights(WeightWish const& wish) {
  int const own_rank = world_place().world_rank;
  auto const keys = say(wish.key);
  int sharers = 0, packer = -1;
  for (int rank = int(keys.size()) - 1; rank >= 0 && !wish.key.empty(); --rank)
    if (keys[std::size_t(rank)] == wish.key) {
      ++sharers;
      packer = rank;
    }
  bool const shares = sharers > 1, packs = packer == own_rank;
  std::string const name = text("/windlass-", wish.job_epoch, "-weights-", packer);
  std::size_t const bytes = wish.bytes + head_bytes;
  std::optional<SharedSegment> segment;
  std::string problem;
  if (shares && packs) {
    if (std::size_t const room = shared_memory_room(); bytes > room)
      problem = text("/dev/shm has room for ", bytes_text(room), ", not for ", bytes_text(bytes));
    else
      problem = problem_of([&] { segment = SharedSegment::create(name, bytes); });
  }
  auto const made = say(problem);
  bool const is_made = shares && made[std::size_t(packer)].empty();
  if (is_made && !packs)
    problem = problem_of([&] { segment = SharedSegment::open(name, SharedSegment::Access::read_write); });
  auto const opened = say(problem);
  if (segment && packs) SharedSegment::remove_name(name);
  bool everybody = is_made;
  for (std::size_t rank = 0; rank < keys.size(); ++rank)
    if (shares && keys[rank] == wish.key) everybody = everybody && opened[rank].empty();
  if (everybody)
    return SharedWeights(std::move(*segment), packs ? SharedWeights::Part::packs : SharedWeights::Part::maps);
  if (shares && packs)
    log_warning(text(sharers, " ranks of this host cannot share their weights (", problem,
                     "): each takes a copy of its own, ", bytes_text(wish.bytes)));
  return std::nullopt;
}

}  // namespace windlass
