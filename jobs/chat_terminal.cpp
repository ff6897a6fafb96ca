#include "jobs/chat_terminal.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "src/core/error.hpp"

namespace windlass {

ChatTerminal::ChatTerminal() : person_types_(::isatty(STDIN_FILENO) == 1), person_reads_(::isatty(STDOUT_FILENO) == 1) {
  sigset_t interrupt;
  ::sigemptyset(&interrupt);
  ::sigaddset(&interrupt, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &interrupt, nullptr);
  interrupts_ = ::signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
  if (interrupts_ < 0) throw FileError("signalfd", "watch for Ctrl-C", errno);
}

ChatTerminal::~ChatTerminal() { ::close(interrupts_); }

bool ChatTerminal::interrupted() {
  signalfd_siginfo info;
  bool any = false;
  while (::read(interrupts_, &info, sizeof info) == ssize_t(sizeof info)) any = true;
  return any;
}

ChatTerminal::Line ChatTerminal::read_line(std::string const& prompt) {
  if (person_types_) print(prompt);
  for (;;) {
    std::size_t const end = typed_.find('\n');
    if (end != std::string::npos || (ended_ && !typed_.empty())) {
      Line line{.kind = Line::Kind::words, .words = typed_.substr(0, end)};
      typed_.erase(0, end == std::string::npos ? end : end + 1);
      if (line.words.ends_with('\r')) line.words.pop_back();
      return line;
    }
    if (ended_) return {.kind = Line::Kind::end, .words = ""};
    std::array<pollfd, 2> waited{{{STDIN_FILENO, POLLIN, 0}, {interrupts_, POLLIN, 0}}};
    if (::poll(waited.data(), waited.size(), -1) < 0 && errno != EINTR)
      throw FileError("standard input", "wait", errno);
    if (interrupted()) {
      typed_.clear();
      return {.kind = Line::Kind::interrupted, .words = ""};
    }
    if (waited[0].revents == 0) continue;
    std::array<char, 4096> piece;
    ssize_t const bytes = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (bytes > 0) typed_.append(piece.data(), std::size_t(bytes));
    ended_ = bytes == 0 || (bytes < 0 && errno != EINTR && errno != EAGAIN);
  }
}

void ChatTerminal::print(std::string_view words, Tone tone) const {
  std::string shown(words);
  std::erase_if(shown, [](unsigned char c) { return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f; });
  if (tone == Tone::dim && person_reads_) shown = "\x1b[2m" + shown + "\x1b[0m";
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
}

}  // namespace windlass
