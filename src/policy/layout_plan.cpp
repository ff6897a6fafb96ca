#include "src/policy/layout_plan.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "src/core/text.hpp"

namespace windlass {
namespace {

/// Ranks that belong to nobody yet, by host.
class FreeRanks {
 public:
  FreeRanks(std::span<RankPlace const> places, int first_rank) : places_(places) {
    for (int rank = first_rank; rank < int(places.size()); ++rank)
      hosts_[places[std::size_t(rank)].host].push_back(rank);
  }

  int on(int host) const {
    auto const at = hosts_.find(host);
    return at == hosts_.end() ? 0 : int(at->second.size());
  }

  /// The host with the fewest free ranks that has `ranks`, the lowest among equals; `wanted` (a host, or -1) if it has.
  std::optional<int> host_for(int ranks, int wanted) const {
    if (wanted >= 0 && on(wanted) >= ranks) return wanted;
    std::optional<int> best;
    for (auto const& [host, free] : hosts_)
      if (int(free.size()) >= ranks && (!best || free.size() < hosts_.at(*best).size())) best = host;
    return best;
  }

  /// `count` ranks of one host: of the fullest NUMA domain that has so many, else the first ones.
  std::vector<int> take(int host, int count) {
    std::vector<int>& free = hosts_[host];
    std::map<int, int> per_domain;
    for (int const rank : free) ++per_domain[numa(rank)];
    std::optional<int> domain;
    for (auto const& [candidate, ranks] : per_domain)
      if (ranks >= count && (!domain || ranks < per_domain[*domain])) domain = candidate;
    std::vector<int> taken;
    for (int const rank : free)
      if (int(taken.size()) < count && (!domain || numa(rank) == *domain)) taken.push_back(rank);
    std::erase_if(free, [&](int rank) { return std::find(taken.begin(), taken.end(), rank) != taken.end(); });
    return taken;
  }

  /// The lowest `count` ranks of any host.
  std::vector<int> take_anywhere(int count) {
    std::vector<int> all;
    for (auto const& [host, free] : hosts_) all.insert(all.end(), free.begin(), free.end());
    std::sort(all.begin(), all.end());
    all.resize(std::size_t(count));
    for (auto& [host, free] : hosts_)
      std::erase_if(free, [&](int rank) { return std::binary_search(all.begin(), all.end(), rank); });
    return all;
  }

 private:
  int numa(int rank) const { return places_[std::size_t(rank)].numa; }
  std::span<RankPlace const> places_;
  std::map<int, std::vector<int>> hosts_;
};

int host_count(std::span<RankPlace const> places) {
  std::vector<int> hosts;
  for (RankPlace const& place : places) hosts.push_back(place.host);
  std::sort(hosts.begin(), hosts.end());
  return int(std::unique(hosts.begin(), hosts.end()) - hosts.begin());
}

class LayoutPlanner {
 public:
  explicit LayoutPlanner(LayoutInput const& in)
      : in_(in), hosts_(host_count(in.ranks)), free_(in.ranks, first_rank(in.wanted)) {
    plan_.layout = in.wanted;
  }

  LayoutPlan run() {
    if (in_.wanted.is_automatic() && !choose()) return std::move(plan_);
    if (!count_matches()) return std::move(plan_);
    list_instances();
    bool const pairs = std::any_of(plan_.instances.begin(), plan_.instances.end(),
                                   [](auto const& instance) { return instance.role != Role::mixed; });
    if (pairs && hosts_ > 1 && in_.fabric == Fabric::slow)
      place_pairs();
    else
      place_in_order();
    plan_.spare_ranks = free_.take_anywhere(plan_.layout.spare_ranks);
    return std::move(plan_);
  }

 private:
  static int first_rank(Layout const& layout) { return layout.controller == ControllerPlace::dedicated ? 1 : 0; }

  void say(std::string line) { plan_.reasons.push_back(std::move(line)); }

  /// Turns `auto` into groups; false where the model fits nowhere.
  bool choose() {
    int const usable = int(in_.ranks.size()) - first_rank(in_.wanted) - in_.wanted.spare_ranks;
    auto const degree = smallest_degree(usable);
    if (!degree) return false;
    int const instances = usable / *degree;
    auto& groups = plan_.layout.groups;
    if (in_.objective == Objective::throughput || instances == 1) {
      groups = {{.role = Role::mixed, .instances = instances, .tp = *degree}};
      say(instances == 1 ? "one mixed instance: there are ranks for no second one"
                         : text(instances,
                                " mixed instances: a batch gains nothing from separating prefill and decode, "
                                "and no KV has to move"));
    } else {
      int const prefill = instances / 2;
      groups = {{.role = Role::prefill, .instances = prefill, .tp = *degree},
                {.role = Role::decode, .instances = instances - prefill, .tp = *degree}};
      say(text(prefill, " prefill and ", instances - prefill,
               " decode instances: running answers must not wait for new prompts"));
    }
    if (int const left = usable - instances * *degree; left > 0) {
      plan_.layout.spare_ranks += left;
      say(text(left, " ranks are too few for another instance and stay spare"));
    }
    return true;
  }

  std::optional<int> smallest_degree(int usable) {
    std::uint64_t least = UINT64_MAX;
    for (RankPlace const& place : in_.ranks) least = std::min(least, place.memory_bytes);
    static constexpr int only_one[] = {1};
    auto const degrees = in_.possible_tp.empty() ? std::span<int const>(only_one) : in_.possible_tp;
    bool const known = in_.instance_bytes > 0 && least > 0;
    for (int const degree : degrees) {
      if (degree > usable) break;
      if (known && in_.instance_bytes / std::uint64_t(degree) > least) continue;
      say(known ? text("tp", degree, ": an instance takes ", in_.instance_bytes >> 20, " MiB, a rank has ", least >> 20,
                       " MiB")
                : text("tp", degree, ": the smallest degree"));
      return degree;
    }
    plan_.stop = usable < 1 ? LayoutStop::wrong_rank_count : LayoutStop::model_does_not_fit;
    say(usable < 1
            ? text("auto needs a rank beside the controller and the spare ones, and there are ", in_.ranks.size())
            : text("an instance takes ", in_.instance_bytes >> 20, " MiB, a rank has ", least >> 20,
                   " MiB, and no degree up to ", degrees.back(), " with ", usable,
                   " ranks makes it fit; start more ranks or hosts"));
    return std::nullopt;
  }

  bool count_matches() {
    int const wanted = plan_.layout.ranks(), given = int(in_.ranks.size());
    if (wanted == given) return true;
    std::string sum;
    auto const add = [&](std::string const& part) { sum += (sum.empty() ? "" : " + ") + part; };
    for (InstanceGroup const& group : plan_.layout.groups) add(text(group.ranks(), " ", role_name(group.role)));
    if (plan_.layout.spare_ranks > 0) add(text(plan_.layout.spare_ranks, " spare"));
    if (plan_.layout.controller == ControllerPlace::dedicated) add("1 controller");
    say(text("the layout ", to_text(plan_.layout), " takes ", wanted, " ranks (", sum, "), but the job has ", given,
             wanted < given ? text("; add spare=", given - wanted, " or start ", wanted)
                            : text("; start ", wanted, " or ask for less")));
    plan_.stop = LayoutStop::wrong_rank_count;
    return false;
  }

  void list_instances() {
    for (InstanceGroup const& group : plan_.layout.groups)
      for (int i = 0; i < group.instances; ++i)
        plan_.instances.push_back({.role = group.role, .tp = group.tp, .pp = group.pp});
  }

  std::vector<int> with_role(Role role) const {
    std::vector<int> found;
    for (int i = 0; i < int(plan_.instances.size()); ++i)
      if (plan_.instances[std::size_t(i)].role == role) found.push_back(i);
    return found;
  }

  PlannedInstance& at(int instance) { return plan_.instances[std::size_t(instance)]; }

  /// Each stage on one host if one has room, all stages on the same one if possible.
  void place(PlannedInstance& instance) {
    auto const whole = free_.host_for(instance.tp * instance.pp, -1);
    int host = whole.value_or(-1);
    for (int stage = 0; stage < instance.pp; ++stage) {
      auto const found = free_.host_for(instance.tp, host);
      auto const taken = found ? free_.take(*found, instance.tp) : free_.take_anywhere(instance.tp);
      if (!found)
        say(text("a ", role_name(instance.role), " instance's tp", instance.tp, " spans hosts: none has room"));
      host = found.value_or(host);
      instance.ranks.insert(instance.ranks.end(), taken.begin(), taken.end());
    }
  }

  void place_in_order() {
    for (PlannedInstance& instance : plan_.instances) place(instance);
    auto const prefill = with_role(Role::prefill), decode = with_role(Role::decode), mixed = with_role(Role::mixed);
    auto decoders = decode, prefillers = prefill;  // a mixed instance helps out on either side
    decoders.insert(decoders.end(), mixed.begin(), mixed.end());
    prefillers.insert(prefillers.end(), mixed.begin(), mixed.end());
    for (int const i : prefill) at(i).peers = decoders;
    for (int const i : decode) at(i).peers = prefillers;
    note_reach();
    if (hosts_ > 1 && in_.fabric == Fabric::fast) say("fast fabric: any prefill instance may feed any decode instance");
  }

  /// Low affinity: clusters of prefill and decode instances, stage by stage on one host.
  void place_pairs() {
    auto const prefill = with_role(Role::prefill), decode = with_role(Role::decode);
    std::size_t const clusters = std::min(prefill.size(), decode.size());
    if (clusters == 0) return place_in_order();
    for (std::size_t cluster = 0; cluster < clusters; ++cluster) {
      std::vector<int> members;
      for (std::size_t i = cluster; i < prefill.size(); i += clusters) members.push_back(prefill[i]);
      std::size_t const feeders = members.size();
      for (std::size_t i = cluster; i < decode.size(); i += clusters) members.push_back(decode[i]);
      place_cluster(members);
      for (std::size_t i = 0; i < members.size(); ++i) {
        auto const border = members.begin() + std::ptrdiff_t(feeders);
        at(members[i]).peers =
            i < feeders ? std::vector<int>(border, members.end()) : std::vector<int>(members.begin(), border);
      }
    }
    for (int const i : with_role(Role::mixed)) place(at(i));
    note_reach();
    say(plan_.kv_reach == KvReach::inside_hosts
            ? "low affinity: no fast fabric between the hosts, so KV is handed over inside hosts only"
            : "no fast fabric, but the layout leaves no room for each prefill instance beside its decode instance: KV "
              "crosses hosts");
    if (std::any_of(plan_.instances.begin(), plan_.instances.end(),
                    [&](auto const& each) { return spans_hosts(each); }))
      say("an instance on several hosts gathers its KV on its leader's host to hand it over: that of the others "
          "crosses");
  }

  bool spans_hosts(PlannedInstance const& instance) const {
    auto const host = [&](int rank) { return in_.ranks[std::size_t(rank)].host; };
    return std::any_of(instance.ranks.begin(), instance.ranks.end(),
                       [&](int rank) { return host(rank) != host(instance.ranks.front()); });
  }

  void place_cluster(std::vector<int> const& members) {
    int const stages = at(members.front()).pp;
    int demand = 0;
    bool const same_stages =
        std::all_of(members.begin(), members.end(), [&](int instance) { return at(instance).pp == stages; });
    for (int const i : members) demand += at(i).tp;
    FreeRanks const before = free_;
    std::vector<PlannedInstance> const unplaced = plan_.instances;
    int host = free_.host_for(demand * stages, -1).value_or(-1);
    for (int stage = 0; same_stages && stage < stages; ++stage) {
      auto const found = free_.host_for(demand, host);
      if (!found) break;
      host = *found;
      for (int const i : members) {
        auto const taken = free_.take(host, at(i).tp);
        at(i).ranks.insert(at(i).ranks.end(), taken.begin(), taken.end());
      }
      if (stage + 1 == stages) return;
    }
    free_ = before;
    plan_.instances = unplaced;
    for (int const i : members) place(at(i));
  }

  /// KV of stage s goes to the ranks of the peer that hold the same layers.
  void note_reach() {
    for (PlannedInstance const& from : plan_.instances) {
      if (from.role != Role::prefill) continue;
      for (int const peer : from.peers)
        if (crosses_hosts(from, at(peer))) plan_.kv_reach = KvReach::across_hosts;
    }
  }

  bool crosses_hosts(PlannedInstance const& from, PlannedInstance const& to) const {
    auto const host = [&](int rank) { return in_.ranks[std::size_t(rank)].host; };
    for (std::size_t i = 0; i < from.ranks.size(); ++i)
      for (std::size_t j = 0; j < to.ranks.size(); ++j) {
        // Stages as fractions of the layers: [s / pp, (s + 1) / pp) of both overlap.
        auto const s = std::int64_t(i) / from.tp, t = std::int64_t(j) / to.tp;
        bool const share_layers = s * to.pp < (t + 1) * from.pp && t * from.pp < (s + 1) * to.pp;
        if (share_layers && host(from.ranks[i]) != host(to.ranks[j])) return true;
      }
    return false;
  }

  LayoutInput const& in_;
  int hosts_;
  FreeRanks free_;
  LayoutPlan plan_;
};

}  // namespace

LayoutPlan plan_layout(LayoutInput const& in) { return LayoutPlanner(in).run(); }

}  // namespace windlass
