#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "mpi/launcher.hpp"
#include "mpi/memory_limit.hpp"
#include "mpi/topology.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

EnvironmentLookup lookup(std::map<std::string, std::string> variables) {
  return [variables](char const* name) -> std::optional<std::string> {
    auto const at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
}

TEST(Launcher, APlainProcessHasNone) { EXPECT_FALSE(detect_launcher(lookup({}))); }

TEST(Launcher, ABatchScriptOfSlurmIsNotALauncher) {
  EXPECT_FALSE(detect_launcher(lookup({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}})));
}

TEST(Launcher, MpirunAndPmixAreFound) {
  EXPECT_EQ(detect_launcher(lookup({{"OMPI_COMM_WORLD_SIZE", "4"}}))->world_ranks, 4);
  EXPECT_EQ(detect_launcher(lookup({{"PMI_SIZE", "2"}}))->world_ranks, 2);
  EXPECT_EQ(detect_launcher(lookup({{"PMIX_RANK", "0"}}))->world_ranks, std::nullopt);
}

TEST(Launcher, SeveralTasksThatCannotMeetAreRefused) {
  EXPECT_THROW(detect_launcher(lookup({{"SLURM_STEP_NUM_TASKS", "3"}, {"SLURM_STEP_ID", "0"}})), InputError);
}

TEST(Topology, CpusAreDistinctAndInTheMask) {
  CoreSet const cores = find_cores();

  cpu_set_t mask;
  ASSERT_EQ(::sched_getaffinity(0, sizeof mask, &mask), 0);
  for (int const cpu : cores.cpus) EXPECT_TRUE(CPU_ISSET(cpu, &mask)) << cpu;
  EXPECT_EQ(std::set<int>(cores.cpus.begin(), cores.cpus.end()).size(), cores.cpus.size());
  EXPECT_GE(cores.machine_cores, int(cores.cpus.size()));
  EXPECT_GE(cores.usable_threads(), 1);
}

TEST(Topology, AProcessorLimitLowersTheThreads) {
  EXPECT_EQ((CoreSet{.cpus = {0, 1, 2, 3}, .processor_limit = 0}.usable_threads()), 4);
  EXPECT_EQ((CoreSet{.cpus = {0, 1, 2, 3}, .processor_limit = 2}.usable_threads()), 2);
  EXPECT_EQ((CoreSet{.cpus = {0, 1, 2, 3}, .processor_limit = 0.3}.usable_threads()), 1);
  EXPECT_EQ((CoreSet{.cpus = {0, 1}, .processor_limit = 64}.usable_threads()), 2);
}

/// Imitations of /proc and /sys/fs/cgroup.
class ControlGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "windlass-cgroup-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    write("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:  8000 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(std::string const& path, std::string const& content) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << content;
  }
  std::string proc() const { return (root_ / "proc").string(); }
  std::string cgroup() const { return (root_ / "cgroup").string(); }

  std::filesystem::path root_;
};

TEST_F(ControlGroupTest, WithoutGroupsTheMachineDecides) {
  EXPECT_EQ(available_memory_bytes({proc(), cgroup()}), 8000U * 1024);
  EXPECT_EQ(cgroup_processor_limit(proc(), cgroup()), 0);
}

TEST_F(ControlGroupTest, Version2TakesTheTightestGroupAndCountsDroppablePages) {
  write("proc/self/cgroup", "0::/job/step\n");
  write("cgroup/job/memory.max", "1000000\n");
  write("cgroup/job/memory.current", "600000\n");
  write("cgroup/job/memory.stat", "anon 400000\ninactive_file 200000\n");
  write("cgroup/job/step/memory.max", "max\n");
  write("cgroup/job/step/cpu.max", "150000 100000\n");

  EXPECT_EQ(available_memory_bytes({proc(), cgroup()}), 600000U);
  EXPECT_EQ(cgroup_processor_limit(proc(), cgroup()), 1.5);
}

TEST_F(ControlGroupTest, Version1IsReadToo) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n0::/other\n");
  write("cgroup/memory/job/memory.limit_in_bytes", "1000000\n");
  write("cgroup/memory/job/memory.usage_in_bytes", "250000\n");
  write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "200000\n");
  write("cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");

  EXPECT_EQ(available_memory_bytes({proc(), cgroup()}), 750000U);
  EXPECT_EQ(cgroup_processor_limit(proc(), cgroup()), 2);
}

TEST_F(ControlGroupTest, AGroupThatIsNotMountedFallsBackToTheRoot) {
  write("proc/self/cgroup", "0::/outside/of/the/container\n");
  write("cgroup/memory.max", "5000\n");
  write("cgroup/memory.current", "1000\n");

  EXPECT_EQ(available_memory_bytes({proc(), cgroup()}), 4000U);
}

TEST_F(ControlGroupTest, ThePeakOfThisProcessIsKnown) {
  write("proc/self/status", "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t  123 kB\nVmRSS:\t  100 kB\n");

  EXPECT_EQ(peak_resident_bytes({proc(), cgroup()}), 123U * 1024);
  EXPECT_GT(peak_resident_bytes(), 1'000'000U);
}

}  // namespace
}  // namespace windlass
