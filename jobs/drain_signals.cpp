#include "jobs/drain_signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr Microseconds same_event_us = 1'000'000;

}  // namespace

DrainSignals::DrainSignals(std::function<void()> at_once, std::function<void()> hang_up)
    : at_once_(std::move(at_once)), hang_up_(std::move(hang_up)) {
  sigset_t drain;
  sigemptyset(&drain);
  for (int const signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&drain, signal);
  if (hang_up_) sigaddset(&drain, SIGHUP);
  ensure(pthread_sigmask(SIG_BLOCK, &drain, nullptr) == 0, "pthread_sigmask failed");
  signals_ = ::signalfd(-1, &drain, SFD_CLOEXEC);
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  ensure(signals_ >= 0 && stop_ >= 0, "signalfd or eventfd failed");
  thread_ = std::thread([this] { wait_for_signals(); });
}

DrainSignals::~DrainSignals() {
  std::uint64_t const one = 1;
  ensure(::write(stop_, &one, sizeof one) == sizeof one, "the signal thread cannot be stopped");
  thread_.join();
  ::close(signals_);
  ::close(stop_);
}

/// A batch system and the shell between may both pass one on: what follows within a second is the same.
void DrainSignals::take(unsigned signal) {
  Microseconds const now = now_us();
  bool const drains = signal == SIGUSR1;
  if (drains && terminated_us_ != never_us) return;
  std::atomic<Microseconds>& first_us = drains ? drained_us_ : terminated_us_;
  if (first_us == never_us)
    first_us = now;
  else if (now - first_us >= same_event_us)
    at_once_();
}

void DrainSignals::wait_for_signals() {
  struct pollfd ready[2] = {{.fd = signals_, .events = POLLIN, .revents = 0},
                            {.fd = stop_, .events = POLLIN, .revents = 0}};
  for (;;) {
    if (::poll(ready, 2, -1) < 0) continue;  // EINTR
    if (ready[1].revents != 0) return;
    signalfd_siginfo information;
    if (::read(signals_, &information, sizeof information) != sizeof information) continue;
    if (information.ssi_signo == SIGHUP)
      hang_up_();
    else
      take(information.ssi_signo);
  }
}

}  // namespace windlass
