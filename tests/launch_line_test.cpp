#include "mpi/launch_line.hpp"

#include <gtest/gtest.h>

#include <map>

namespace windlass {
namespace {

using Words = std::vector<std::string>;

LaunchRequest request(MpiFlavor flavor, int ranks) {
  return {.flavor = flavor,
          .mpirun = "/opt/mpirun",
          .ranks = ranks,
          .usable_cores = 4,
          .hosts = "",
          .program = {"w", "batch"}};
}

Recovery recovery(std::map<std::string, std::string> const& variables) {
  return recovery_of([&](char const* name) {
    auto const at = variables.find(name);
    return at == variables.end() ? std::nullopt : std::optional(at->second);
  });
}

TEST(LaunchLine, AsksEachLibraryForRecoveryInItsOwnWords) {
  EXPECT_EQ(launch_line(request(MpiFlavor::open_mpi_4, 3)),
            (Words{"/opt/mpirun", "--enable-recovery", "--bind-to", "none", "-n", "3", "w", "batch"}));
  EXPECT_EQ(launch_line(request(MpiFlavor::open_mpi_5, 3)),
            (Words{"/opt/mpirun", "--with-ft", "ulfm", "--bind-to", "none", "--mca", "osc", "^ucx", "-n", "3", "w",
                   "batch"}));
  EXPECT_EQ(launch_line(request(MpiFlavor::mpich, 3)), (Words{"/opt/mpirun", "-n", "3", "w", "batch"}));
}

TEST(LaunchLine, RanksThatShareCoresYield) {
  auto const crowded = launch_line(request(MpiFlavor::open_mpi_4, 5));

  EXPECT_NE(std::find(crowded.begin(), crowded.end(), "--oversubscribe"), crowded.end());
  EXPECT_NE(std::find(crowded.begin(), crowded.end(), "mpi_yield_when_idle"), crowded.end());
}

TEST(LaunchLine, OnNamedHostsTheLauncherCountsItself) {
  auto on_hosts = request(MpiFlavor::open_mpi_4, 8);
  on_hosts.hosts = "a:4,b:4";

  EXPECT_EQ(launch_line(on_hosts), (Words{"/opt/mpirun", "--enable-recovery", "--bind-to", "none", "--host", "a:4,b:4",
                                          "-n", "8", "w", "batch"}));
}

TEST(LaunchLine, LibrariesAreKnownByTheirVersionText) {
  EXPECT_EQ(flavor_of("Open MPI v4.1.4"), MpiFlavor::open_mpi_4);
  EXPECT_EQ(flavor_of("Open MPI v5.0.11"), MpiFlavor::open_mpi_5);
  EXPECT_EQ(flavor_of("MPICH Version:\t4.0.2"), MpiFlavor::mpich);
  EXPECT_EQ(flavor_of("Fast MPI 1"), MpiFlavor::other);
  EXPECT_EQ(mpi_flavor(), built_flavor());
}

TEST(LaunchLine, AProgramUnderTheWrongLauncherIsTold) {
  MpiFlavor const four = MpiFlavor::open_mpi_4;

  EXPECT_EQ(problem_of_start({.built_with = four, .runs_with = four, .launcher_ranks = 3, .world_ranks = 3}), "");
  EXPECT_EQ(problem_of_start({.built_with = four, .runs_with = four, .launcher_ranks = {}, .world_ranks = 3}), "");
  EXPECT_NE(
      problem_of_start({.built_with = four, .runs_with = MpiFlavor::open_mpi_5, .launcher_ranks = 3, .world_ranks = 3})
          .find("built with Open MPI 4 and runs with Open MPI 5"),
      std::string::npos);
  EXPECT_NE(problem_of_start(
                {.built_with = MpiFlavor::mpich, .runs_with = MpiFlavor::mpich, .launcher_ranks = 3, .world_ranks = 1})
                .find("started 3 ranks"),
            std::string::npos);
}

TEST(LaunchLine, RecoveryIsReadFromWhatTheLauncherSet) {
  EXPECT_EQ(recovery({{"OMPI_MCA_orte_enable_recovery", "1"}}), Recovery::on);
  EXPECT_EQ(recovery({{"OMPI_MCA_mpi_ft_enable", "true"}}), Recovery::on);
  EXPECT_EQ(recovery({{"OMPI_COMM_WORLD_SIZE", "2"}}), Recovery::off);
  EXPECT_EQ(recovery({{"SLURM_STEP_ID", "0"}}), Recovery::unknown);
}

}  // namespace
}  // namespace windlass
