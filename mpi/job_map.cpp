#include "mpi/job_map.hpp"

#include <algorithm>
#include <sstream>

#include "mpi/communicators.hpp"
#include "mpi/job.hpp"
#include "mpi/wire.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr std::uint32_t host_map_version = 1;

/// "0-3,8"
std::string ranges(std::vector<int> cpus) {
  std::sort(cpus.begin(), cpus.end());
  std::ostringstream out;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t end = i + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    out << (i == 0 ? "" : ",") << cpus[i];
    if (end - i > 1) out << "-" << cpus[end - 1];
    i = end;
  }
  return out.str();
}

std::string of_domain(int numa) { return numa < 0 ? "" : text(" (domain ", numa, ")"); }

bool overlap(std::vector<int> const& a, std::vector<int> const& b) {
  return std::any_of(a.begin(), a.end(), [&](int cpu) { return std::find(b.begin(), b.end(), cpu) != b.end(); });
}

void describe_host(std::ostringstream& out, HostMap const& map) {
  out << map.host << ": " << (map.processor.empty() ? "unknown processor" : map.processor) << ", "
      << map.machine_cores() << " cores\n";
  for (NumaDomain const& domain : map.domains)
    out << "  domain " << domain.os_index << ": " << domain.machine_cores << " cores, " << (domain.memory_bytes >> 20)
        << " MiB\n";
  for (Accelerator const& device : map.accelerators)
    out << "  accelerator " << device.name << of_domain(device.numa) << (device.model.empty() ? "" : ": ")
        << device.model << "\n";
  for (NetworkCard const& card : map.cards)
    out << "  network card " << card.name << of_domain(card.numa)
        << (card.kind == NetworkCard::Kind::fabric ? ": fabric" : ": Ethernet") << "\n";
}

}  // namespace

int JobMap::ranks_on(int host) const { return int(std::count(host_of.begin(), host_of.end(), host)); }

bool JobMap::fast_fabric() const {
  return std::all_of(ranks.begin(), ranks.end(), [](HostMap const& map) {
    return std::any_of(map.cards.begin(), map.cards.end(),
                       [](NetworkCard const& card) { return card.kind == NetworkCard::Kind::fabric; });
  });
}

JobMap make_job_map(std::vector<HostMap> ranks) {
  JobMap map{.ranks = std::move(ranks)};
  for (HostMap const& rank : map.ranks) {
    auto at = std::find(map.hosts.begin(), map.hosts.end(), rank.host);
    if (at == map.hosts.end()) at = map.hosts.insert(at, rank.host);
    map.host_of.push_back(int(at - map.hosts.begin()));
  }
  return map;
}

JobMap gather_job_map(MpiJob const& job, HostMap const& own) {
  if (!job.uses_mpi()) return make_job_map({own});
  std::vector<HostMap> ranks;
  for (auto const& bytes : gather_from_all(encode_host_map(own))) ranks.push_back(decode_host_map(bytes));
  return make_job_map(std::move(ranks));
}

std::vector<std::byte> encode_host_map(HostMap const& map) {
  WireWriter out;
  out.put(host_map_version);
  out.put_text(map.host);
  out.put_text(map.processor);
  out.put(std::uint64_t(map.domains.size()));
  for (NumaDomain const& domain : map.domains) {
    out.put(domain.os_index);
    out.put(domain.memory_bytes);
    out.put(domain.machine_cores);
    out.put_all(domain.cpus);
  }
  out.put(std::uint64_t(map.accelerators.size()));
  for (Accelerator const& device : map.accelerators) {
    out.put_text(device.name);
    out.put_text(device.model);
    out.put(device.numa);
  }
  out.put(std::uint64_t(map.cards.size()));
  for (NetworkCard const& card : map.cards) {
    out.put_text(card.name);
    out.put(card.kind);
    out.put(card.numa);
  }
  out.put(map.processor_limit);
  out.put(map.available_bytes);
  return out.take();
}

HostMap decode_host_map(std::span<std::byte const> bytes) {
  WireReader in(bytes, "host map");
  if (auto const version = in.get<std::uint32_t>(); version != host_map_version)
    throw WireError(text("host map: version ", version, ", this program has ", host_map_version,
                         "; start one build of windlass on all hosts"));
  HostMap map{.host = in.get_text(), .processor = in.get_text()};
  map.domains.resize(in.get_count(sizeof(std::uint64_t)));
  for (NumaDomain& domain : map.domains) {
    domain.os_index = in.get<int>();
    domain.memory_bytes = in.get<std::uint64_t>();
    domain.machine_cores = in.get<int>();
    domain.cpus = in.get_all<int>();
  }
  map.accelerators.resize(in.get_count(sizeof(std::uint64_t)));
  for (Accelerator& device : map.accelerators) {
    device.name = in.get_text();
    device.model = in.get_text();
    device.numa = in.get<int>();
  }
  map.cards.resize(in.get_count(sizeof(std::uint64_t)));
  for (NetworkCard& card : map.cards) {
    card.name = in.get_text();
    card.kind = in.get_enum(NetworkCard::Kind::fabric);
    card.numa = in.get<int>();
  }
  map.processor_limit = in.get<double>();
  map.available_bytes = in.get<std::uint64_t>();
  in.expect_end();
  if (map.domains.empty()) throw WireError("host map: no NUMA domain");
  return map;
}

std::vector<int> share_of_cores(std::span<int const> cpus, int sharers, int index) {
  int const cores = int(cpus.size());
  if (cores < sharers) return {cpus[std::size_t(index % cores)]};
  auto const begin = std::int64_t(cores) * index / sharers, end = std::int64_t(cores) * (index + 1) / sharers;
  return {cpus.begin() + begin, cpus.begin() + end};
}

std::vector<int> cores_of_rank(JobMap const& map, int world_rank) {
  auto const own = map.ranks[std::size_t(world_rank)].cpus();
  int sharers = 0, index = 0;
  for (int rank = 0; rank < int(map.ranks.size()); ++rank) {
    if (map.host_of[std::size_t(rank)] != map.host_of[std::size_t(world_rank)]) continue;
    if (!overlap(own, map.ranks[std::size_t(rank)].cpus())) continue;
    if (rank == world_rank) index = sharers;
    ++sharers;
  }
  return share_of_cores(own, sharers, index);
}

std::string to_text(JobMap const& map) {
  std::ostringstream out;
  for (int host = 0; host < int(map.hosts.size()); ++host) {
    auto const first = std::find(map.host_of.begin(), map.host_of.end(), host) - map.host_of.begin();
    describe_host(out, map.ranks[std::size_t(first)]);
    for (int rank = 0; rank < int(map.ranks.size()); ++rank) {
      if (map.host_of[std::size_t(rank)] != host) continue;
      HostMap const& own = map.ranks[std::size_t(rank)];
      auto const share = cores_of_rank(map, rank);
      out << "  rank " << rank << ": may use cpus " << ranges(own.cpus()) << ", takes " << ranges(share)
          << of_domain(own.domains[std::size_t(own.main_domain())].os_index);
      if (own.processor_limit > 0) out << ", cgroup limit " << own.processor_limit << " processors";
      if (own.available_bytes > 0) out << ", " << (own.available_bytes >> 20) << " MiB free";
      out << "\n";
    }
  }
  return out.str();
}

}  // namespace windlass
