#include "mpi/process_watch.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "mpi/communicators.hpp"
#include "mpi/job.hpp"
#include "mpi/machine_name.hpp"
#include "mpi/wire.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

// Not in the headers of every C library that the program is built with; the numbers are those of all architectures.
constexpr long pidfd_send_signal_call = 424, pidfd_open_call = 434;

}  // namespace

ProcessWatch::ProcessWatch(MpiJob const& job, OnEnd on_end) : on_end_(std::move(on_end)) {
  if (!job.uses_mpi()) return;
  std::string const machine = machine_name();
  WireWriter own;
  own.put(int(::getpid()));
  own.put_text(machine);
  auto const all = gather_from_all(own.take());
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    WireReader in(all[rank], "process of a rank");
    int const process = in.get<int>();
    if (int(rank) != job.place().world_rank && !machine.empty() && in.get_text() == machine) add(int(rank), process);
  }
  add(ProcessEnd::launcher, ::getppid());
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  ensure(stop_ >= 0, "eventfd failed");
  thread_ = std::thread([this] { watch(); });
}

ProcessWatch::~ProcessWatch() {
  if (thread_.joinable()) {
    std::uint64_t const one = 1;
    ensure(::write(stop_, &one, sizeof one) == sizeof one, "the process watch cannot be stopped");
    thread_.join();
    ::close(stop_);
  }
  for (Watched const& each : watched_) ::close(each.descriptor);
}

void ProcessWatch::add(int world_rank, int process) {
  int const descriptor = int(::syscall(pidfd_open_call, process, 0));
  if (descriptor >= 0) watched_.push_back({.world_rank = world_rank, .descriptor = descriptor});
}

void ProcessWatch::on_end(OnEnd next) {
  std::lock_guard const lock(mutex_);
  on_end_ = std::move(next);
}

bool ProcessWatch::sees(int world_rank) const {
  return std::any_of(watched_.begin(), watched_.end(), [&](auto const& each) { return each.world_rank == world_rank; });
}

bool ProcessWatch::kill(int world_rank) const {
  for (Watched const& each : watched_)
    if (each.world_rank == world_rank) {
      ::syscall(pidfd_send_signal_call, each.descriptor, SIGKILL, nullptr, 0);
      return true;
    }
  return false;
}

void ProcessWatch::watch() {
  std::vector<struct pollfd> ready{{.fd = stop_, .events = POLLIN, .revents = 0}};
  for (Watched const& each : watched_) ready.push_back({.fd = each.descriptor, .events = POLLIN, .revents = 0});
  for (;;) {
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;  // EINTR
    if (ready[0].revents != 0) return;
    for (std::size_t i = 1; i < ready.size(); ++i) {
      if (ready[i].revents == 0) continue;
      ready[i].fd = -1;  // poll passes it over
      ready[i].revents = 0;
      std::lock_guard const lock(mutex_);
      if (on_end_) on_end_({.world_rank = watched_[i - 1].world_rank});
    }
  }
}

}  // namespace windlass
