/// The simulation of an ElasticCluster: its state, shared by elastic_cluster.cpp (arrivals and prefills) and
/// elastic_groups.cpp (groups that decode).
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "src/policy/elastic_allocation.hpp"
#include "src/policy/elastic_dispatch.hpp"
#include "src/sim/elastic_cluster.hpp"
#include "src/sim/event_queue.hpp"

namespace windlass {

class ElasticSimulation {
 public:
  ElasticSimulation(ElasticCluster const& cluster, Workload const& workload);
  ElasticReport run();

 private:
  enum class EventKind : std::uint8_t { arrival, prefill_done, step_done, migrated };

  struct Event {
    EventKind kind;
    std::uint32_t index;  ///< request, prefill or group
  };

  using Instances = std::vector<std::uint32_t>;
  using Requests = std::vector<std::uint32_t>;

  enum class InstanceWork : std::uint8_t { idle, prefill, decode };

  struct Group {
    Instances instances;
    Requests sequences;
    Requests joining;        ///< their KV is here or on its way; they decode from the next step on
    int prefills = 0;        ///< under way on its instances: it pauses
    std::int64_t steps = 0;  ///< since it last paused
    bool stepping = false, alive = true;
  };

  struct Prefill {
    Requests prompts;
    Instances instances, released;
    std::optional<std::uint32_t> paused;  ///< the group that gave its instances
  };

  struct Flight {
    std::int64_t prompt_tokens = 0;  ///< what a prefill computes: after a loss with what was generated
    std::int64_t context = 0;
    std::int32_t steps_left = 0;
    std::vector<std::int64_t> held;  ///< [instances]
  };

  // arrivals and prefills
  void arrive(std::uint32_t request);
  void start_on_idle();
  void start_beside(std::uint32_t group);
  ElasticDecodes decodes() const;
  ElasticDispatchPlan dispatch(Instances const& instances, double pausing_inverse_generated) const;
  DecodingGroup decoding(Group const& group) const;
  bool start_prefills(ElasticDispatchPlan const& chosen, Instances instances, std::optional<std::uint32_t> paused);
  void launch(Requests prompts, Instances instances, std::optional<std::uint32_t> paused);
  void finish_prefill(std::uint32_t index);
  void join(Prefill const& done, Requests const& decoding);
  double prefill_us(Requests const& prompts, std::size_t degree) const;

  // groups that decode
  void boundary(std::uint32_t group);
  std::vector<std::uint32_t> groups_beside(std::uint32_t group) const;
  void migrate(std::uint32_t group, std::uint32_t target);
  void start_step(std::uint32_t group);
  void finish_step(std::uint32_t group);
  std::int64_t scale_up(Group& group);
  bool append_token(Group& group, std::uint32_t request);
  void dissolve(Group& group);

  // requests and their KV
  std::int64_t generated(std::uint32_t request) const;
  GrowingSequence growing(std::uint32_t request) const;
  Instances idle_instances() const;
  std::int64_t free_tokens(Instances const& instances) const;
  void hold(std::uint32_t request, std::uint32_t instance, std::int64_t tokens);
  void free_kv(std::uint32_t request);
  void lose(std::uint32_t request);
  void complete(std::uint32_t request);

  ElasticCluster const& cluster_;
  Workload const& workload_;
  ElasticReport report_;
  EventQueue<Event> events_;
  std::vector<InstanceWork> work_;
  std::vector<std::int64_t> used_;
  std::vector<Flight> flights_;
  std::deque<std::uint32_t> waiting_;
  std::vector<Prefill> prefills_;
  std::vector<Group> groups_;
  Requests running_;            ///< that prefill or decode
  std::int32_t overtaken_ = 0;  ///< rounds in a row in which the oldest prompt was passed
};

}  // namespace windlass
