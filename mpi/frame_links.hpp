/// Frames between ranks by MPI's two-sided calls. Used on the MPI thread alone; included by sources in mpi/ only.
#pragma once

#include <mpi.h>

#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "mpi/communicator.hpp"
#include "mpi/courier.hpp"

namespace windlass {

/// A communicator of its own, over all ranks of the job. No call waits for another rank.
class FrameLinks {
 public:
  /// Collective over the job.
  FrameLinks() : frames_(duplicate_world()) {}

  void send(int rank, Bytes frame);
  /// How many sends have been received since the last call.
  std::size_t finish_sends();
  bool all_sent() const { return outgoing_.empty(); }
  /// Sends to a rank and receives from it are left to themselves. How many sends there were.
  std::size_t give_up(int rank);

  /// Starts to receive what other ranks have announced. Where the MPI library tells of failed ranks (ULFM), it does so
  /// here: take_failed().
  void take_announced();
  /// The next frame that is here; those of one rank in the order in which it sent them.
  std::optional<Envelope> receive();
  /// Ranks that the MPI library has declared failed since the last call.
  std::vector<int> take_failed() { return std::exchange(failed_, {}); }

  /// After the last send: true once every rank has come here, and so has received everything.
  bool all_done();
  /// The communicator is never freed: a rank of it is gone.
  void abandon() { frames_.abandon(); }

 private:
  /// A frame on its way in or out. Its buffer stays where it is until its request is done.
  struct Moving {
    int rank = 0;
    Bytes frame;
    MPI_Request request = MPI_REQUEST_NULL;
    bool done();
  };

  bool announce(MPI_Message* message, MPI_Status* status);
  void note_failed();

  Communicator frames_;
  MPI_Request farewell_ = MPI_REQUEST_NULL;
  std::list<Moving> outgoing_, incoming_;  // in the order of their starts
  std::list<Moving> leaked_;               // of ranks that were given up: MPI may use these buffers for ever
  std::vector<int> failed_;
};

}  // namespace windlass
