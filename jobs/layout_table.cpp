#include "jobs/layout_table.hpp"

#include <iomanip>
#include <sstream>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

std::string list(std::vector<int> const& numbers) {
  std::string words;
  for (int const each : numbers) words += text(words.empty() ? "" : " ", each);
  return words;
}

std::string hosts_of(std::vector<int> const& ranks, JobMap const& map) {
  std::string words, last;
  for (int const rank : ranks) {
    std::string const& host = map.hosts[std::size_t(map.host_of[std::size_t(rank)])];
    if (host != last) words += text(words.empty() ? "" : " ", host);
    last = host;
  }
  return words;
}

void row(std::ostringstream& out, std::vector<std::string> const& cells) {
  static constexpr int widths[] = {10, 9, 7, 16, 24};
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i < std::size(widths) && i + 1 < cells.size())
      out << std::left << std::setw(widths[i]) << cells[i] << " ";
    else
      out << cells[i];
  }
  out << "\n";
}

std::vector<RankPlace> places_of(JobMap const& map) {
  std::vector<RankPlace> places;
  for (std::size_t rank = 0; rank < map.ranks.size(); ++rank) {
    int const host = map.host_of[rank];
    places.push_back({.host = host,
                      .numa = map.ranks[rank].main_domain(),
                      .memory_bytes = map.ranks[rank].available_bytes / std::uint64_t(map.ranks_on(host))});
  }
  return places;
}

LayoutInput layout_input(Layout const& wanted, std::vector<RankPlace> const& places, Fabric fabric) {
  return {.wanted = wanted, .ranks = places, .fabric = fabric};
}

Fabric fabric_of(JobMap const& map) { return map.fast_fabric() ? Fabric::fast : Fabric::slow; }

}  // namespace

LayoutPlan plan_job_layout(Layout const& wanted, JobMap const& map, LayoutNeeds const& needs) {
  auto const places = places_of(map);
  LayoutInput in = layout_input(wanted, places, fabric_of(map));
  in.objective = needs.objective;
  in.instance_bytes = needs.instance_bytes;
  LayoutPlan plan = plan_layout(in);
  if (plan.stop != LayoutStop::planned) throw InputError(plan.reasons.back());
  return plan;
}

void record_layout(PlanLog& log, Layout const& wanted, JobMap const& map) {
  auto const places = places_of(map);
  LayoutInput const in = layout_input(wanted, places, fabric_of(map));
  log.add(in, plan_layout(in));
}

std::string to_text(LayoutPlan const& plan, JobMap const& map) {
  std::ostringstream out;
  out << "layout " << to_text(plan.layout) << "\n";
  row(out, {"instance", "role", "degree", "ranks", "hosts", "KV peers"});
  for (std::size_t i = 0; i < plan.instances.size(); ++i) {
    PlannedInstance const& instance = plan.instances[i];
    row(out,
        {text(i), role_name(instance.role), text("tp", instance.tp, instance.pp > 1 ? text("pp", instance.pp) : ""),
         list(instance.ranks), hosts_of(instance.ranks, map), list(instance.peers)});
  }
  if (!plan.spare_ranks.empty()) out << "spare ranks: " << list(plan.spare_ranks) << "\n";
  out << "controller: rank 0"
      << (plan.layout.controller == ControllerPlace::dedicated ? ", which computes nothing" : ", beside its instance")
      << "\n";
  for (std::string const& reason : plan.reasons) out << "- " << reason << "\n";
  return out.str();
}

}  // namespace windlass
