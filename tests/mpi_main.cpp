// main() of tests that run as several ranks: every rank runs every test; one that fails on any rank fails on all.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "mpi/communicators.hpp"
#include "mpi/job.hpp"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  testing::InitGoogleTest(&argc, argv);
  windlass::MpiJob const job(windlass::detect_launcher([](char const* name) -> std::optional<std::string> {
    char const* const value = std::getenv(name);
    return value ? std::optional<std::string>(value) : std::nullopt;
  }));
  if (!job.uses_mpi()) {
    std::puts("start this test with mpirun");
    return 1;
  }
  std::byte const failed{RUN_ALL_TESTS() != 0};
  int failures = 0;
  for (auto const& rank : windlass::gather_from_all(std::span(&failed, 1))) failures += rank.at(0) != std::byte{0};
  return failures == 0 ? 0 : 1;
}
