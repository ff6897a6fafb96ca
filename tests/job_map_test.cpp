// Maps of hosts from hwloc's made topologies, on the wire, and shares of cores.
#include "mpi/job_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "mpi/wire.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

std::string const two_domains = "pack:2 [numa(memory=64GB)] core:4 pu:2";

HostMap made(std::string const& host, std::vector<int> allowed = {}) {
  return read_host_map({.synthetic = two_domains, .allowed_cpus = std::move(allowed), .host = host});
}

TEST(HostMap, ListsDomainsWithOneCpuPerCore) {
  HostMap const map = made("a");

  ASSERT_EQ(map.domains.size(), 2u);
  EXPECT_EQ(map.domains[0].cpus, (std::vector{0, 2, 4, 6}));
  EXPECT_EQ(map.domains[1].cpus, (std::vector{8, 10, 12, 14}));
  EXPECT_EQ(map.domains[1].machine_cores, 4);
  EXPECT_EQ(map.domains[0].memory_bytes, 64000000000u);
}

TEST(HostMap, SeesOnlyWhatTheMaskAllows) {
  HostMap const map = made("a", {3, 9, 10});  // the second threads of cores 1 and 4, the first of core 5

  EXPECT_EQ(map.cpus(), (std::vector{3, 9, 10}));
  EXPECT_EQ(map.machine_cores(), 8);
  EXPECT_EQ(map.main_domain(), 1);
}

TEST(HostMap, FindsAcceleratorsAndCardsWithTheirDomains) {
  HostMap const map = read_host_map({.xml_file = std::string(WINDLASS_SOURCE_DIR) + "/inputs/topology/gpu_node.xml"});

  ASSERT_EQ(map.accelerators.size(), 4u);
  EXPECT_EQ(map.accelerators[0].name, "cuda0");
  EXPECT_EQ(map.accelerators[0].model, "H200");
  EXPECT_EQ(map.accelerators[3].numa, 1);
  ASSERT_EQ(map.cards.size(), 2u);
  EXPECT_EQ(map.cards[1].name, "mlx5_1");
  EXPECT_EQ(map.cards[1].kind, NetworkCard::Kind::fabric);
  EXPECT_EQ(map.cards[1].numa, 1);
  EXPECT_TRUE(make_job_map({map}).fast_fabric());
}

TEST(HostMap, ADescriptionThatHwlocCannotReadIsNamed) {
  EXPECT_THROW(read_host_map({.synthetic = "pack:two"}), InputError);
  EXPECT_THROW(read_host_map({.xml_file = "/nowhere/node.xml"}), InputError);
}

TEST(HostMap, ThisMachineHasACore) {
  HostMap const map = read_host_map();

  EXPECT_FALSE(map.cpus().empty());
  EXPECT_GE(map.machine_cores(), int(map.cpus().size()));
  EXPECT_FALSE(map.host.empty());
}

TEST(HostMap, TravelsUnchanged) {
  for (HostMap map : {made("a"), read_host_map()}) {
    map.processor_limit = 1.5;
    EXPECT_EQ(decode_host_map(encode_host_map(map)), map);
  }
}

TEST(HostMap, DamagedBytesAreRefusedOrReadButNeverCrash) {
  auto const whole =
      encode_host_map(read_host_map({.xml_file = std::string(WINDLASS_SOURCE_DIR) + "/inputs/topology/gpu_node.xml"}));
  std::mt19937 random(5);
  for (int i = 0; i < 20000; ++i) {
    auto bytes = whole;
    for (unsigned change = 0; change < 1 + random() % 3; ++change)
      bytes[random() % bytes.size()] = std::byte(random() % 4 ? random() : 0xff);
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      decode_host_map(bytes);
    } catch (WireError const&) {
    }
  }
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes)
    EXPECT_THROW(decode_host_map(std::span(whole).first(bytes)), WireError);
}

TEST(JobMap, GroupsRanksByHost) {
  JobMap const map = make_job_map({made("b"), made("a"), made("b")});

  EXPECT_EQ(map.hosts, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(map.host_of, (std::vector{0, 1, 0}));
  EXPECT_EQ(map.ranks_on(0), 2);
  EXPECT_FALSE(map.fast_fabric());
}

TEST(JobMap, RanksWithOneMaskShareItsCoresWithoutOverlap) {
  JobMap const map = make_job_map({made("a"), made("b"), made("a"), made("a")});
  std::vector<int> all;
  for (int const rank : {0, 2, 3}) {
    auto const own = cores_of_rank(map, rank);
    EXPECT_GE(own.size(), 2u);
    all.insert(all.end(), own.begin(), own.end());
  }
  std::sort(all.begin(), all.end());

  EXPECT_EQ(all, made("a").cpus());
  EXPECT_EQ(cores_of_rank(map, 1), made("b").cpus());
}

TEST(JobMap, RanksBoundApartKeepAllTheirCores) {
  JobMap const map = make_job_map({made("a", {0, 2}), made("a", {8, 10, 12})});

  EXPECT_EQ(cores_of_rank(map, 0), (std::vector{0, 2}));
  EXPECT_EQ(cores_of_rank(map, 1), (std::vector{8, 10, 12}));
}

TEST(JobMap, MoreRanksThanCoresTakeTurns) {
  std::vector<int> const cpus = {4, 6};

  EXPECT_EQ(share_of_cores(cpus, 3, 0), std::vector{4});
  EXPECT_EQ(share_of_cores(cpus, 3, 1), std::vector{6});
  EXPECT_EQ(share_of_cores(cpus, 3, 2), std::vector{4});
}

}  // namespace
}  // namespace windlass
