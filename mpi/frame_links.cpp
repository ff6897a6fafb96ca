#include "mpi/frame_links.hpp"

#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include <algorithm>
#include <limits>

#include "mpi/mpi_error.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr int frame_mpi_tag = 1;  ///< all frames; KV has a communicator of its own

}  // namespace

bool FrameLinks::Moving::done() {
  int flag = 0;
  return MPI_Test(&request, &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS || flag != 0;
}

void FrameLinks::send(int rank, Bytes frame) {
  ensure(frame.size() <= std::size_t(std::numeric_limits<int>::max()), "a message of more than 2 GiB");
  outgoing_.push_back({.rank = rank, .frame = std::move(frame)});
  Moving& next = outgoing_.back();
  // Synchronous: once it is done its receiver has it, so that no frame is left over where a communicator ends.
  check_mpi(MPI_Issend(next.frame.data(), int(next.frame.size()), MPI_BYTE, rank, frame_mpi_tag, frames_.get(),
                       &next.request),
            "MPI_Issend");
}

std::size_t FrameLinks::finish_sends() {
  return std::erase_if(outgoing_, [](Moving& send) { return send.done(); });
}

std::size_t FrameLinks::give_up(int rank) {
  std::size_t const sends = outgoing_.size();
  for (std::list<Moving>* const list : {&outgoing_, &incoming_})
    for (auto at = list->begin(); at != list->end();) {
      auto const next = std::next(at);
      if (at->rank == rank) leaked_.splice(leaked_.end(), *list, at);
      at = next;
    }
  return sends - outgoing_.size();
}

bool FrameLinks::all_done() {
  int done = 0;
  if (farewell_ == MPI_REQUEST_NULL) check_mpi(MPI_Ibarrier(frames_.get(), &farewell_), "MPI_Ibarrier");
  check_mpi(MPI_Test(&farewell_, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

/// A sender may die before the rest of a long frame is here: nothing waits for it.
void FrameLinks::take_announced() {
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  while (announce(&message, &status)) {
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    incoming_.push_back({.rank = status.MPI_SOURCE, .frame = Bytes(std::size_t(bytes))});
    Moving& next = incoming_.back();
    check_mpi(MPI_Imrecv(next.frame.data(), bytes, MPI_BYTE, &message, &next.request), "MPI_Imrecv");
  }
}

bool FrameLinks::announce(MPI_Message* message, MPI_Status* status) {
  int arrived = 0;
  int const code = MPI_Improbe(MPI_ANY_SOURCE, frame_mpi_tag, frames_.get(), &arrived, message, status);
#ifdef MPIX_ERR_PROC_FAILED
  int kind = MPI_SUCCESS;
  MPI_Error_class(code, &kind);
  if (kind == MPIX_ERR_PROC_FAILED || kind == MPIX_ERR_PROC_FAILED_PENDING) {
    note_failed();
    return false;
  }
#endif
  check_mpi(code, "MPI_Improbe");
  return arrived != 0;
}

/// Receives from any rank fail until every failed rank is acknowledged.
void FrameLinks::note_failed() {
#ifdef MPIX_ERR_PROC_FAILED
  MPI_Group failed = MPI_GROUP_NULL, everybody = MPI_GROUP_NULL;
  check_mpi(MPIX_Comm_failure_ack(frames_.get()), "MPIX_Comm_failure_ack");
  check_mpi(MPIX_Comm_failure_get_acked(frames_.get(), &failed), "MPIX_Comm_failure_get_acked");
  MPI_Comm_group(frames_.get(), &everybody);
  int count = 0;
  MPI_Group_size(failed, &count);
  for (int i = 0; i < count; ++i) {
    int world_rank = 0;
    MPI_Group_translate_ranks(failed, 1, &i, everybody, &world_rank);
    failed_.push_back(world_rank);
  }
  MPI_Group_free(&failed);
  MPI_Group_free(&everybody);
#endif
}

std::optional<Envelope> FrameLinks::receive() {
  for (auto at = incoming_.begin(); at != incoming_.end(); ++at) {
    bool const behind = std::any_of(incoming_.begin(), at, [&](Moving const& each) { return each.rank == at->rank; });
    if (behind || !at->done()) continue;
    Envelope envelope{.source_rank = at->rank, .frame = std::move(at->frame)};
    incoming_.erase(at);
    return envelope;
  }
  return std::nullopt;
}

}  // namespace windlass
