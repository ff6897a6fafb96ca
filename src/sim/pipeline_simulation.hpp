/// The simulation of a PipelineCluster: its state, shared by pipeline_cluster.cpp (arrivals and steps),
/// pipeline_chunks.cpp (prompts in chunks beside decodes), pipeline_handoff.cpp (KV between instances) and
/// pipeline_changes.cpp (failures, repairs, changes of role).
#pragma once

#include <vector>

#include "src/policy/prefill_batch.hpp"
#include "src/policy/step_batching.hpp"
#include "src/sim/event_queue.hpp"
#include "src/sim/fair_link.hpp"
#include "src/sim/fifo.hpp"
#include "src/sim/pipeline_cluster.hpp"

namespace windlass {

class PipelineSimulation {
 public:
  PipelineSimulation(PipelineCluster const& cluster, Workload const& workload);
  PipelineReport run();

 private:
  enum class EventKind : std::uint8_t {
    arrival,
    stage_ready,
    stage_done,
    kv_arrived,
    fabric_done,
    failure,
    repair,
    control,
    role_changed
  };

  struct Event {
    EventKind kind;
    std::uint8_t epoch;  ///< of the instance, or of the request's transfer; an older one says nothing any more
    std::uint16_t stage;
    std::uint32_t instance;
    std::uint32_t request;
  };

  enum class Running : std::uint8_t { nothing, prefill, decode, chunks };

  struct Stage {
    Fifo prompts, sequences;
    std::int64_t queued_context = 0;  ///< of `sequences`
    std::vector<std::uint32_t> batch;
    Running running = Running::nothing;
    bool wake_pending = false;
  };

  struct Instance {
    std::vector<Stage> stages;
    Fifo offers;                          ///< decode: prefilled prompts nobody has pulled yet
    std::vector<std::uint32_t> admitted;  ///< with chunks: in prefill or decode, in order of admission
    std::vector<StepShare> shares;        ///< with chunks: of the step that runs
    std::int64_t used_kv_tokens = 0;
    std::int64_t attached = 0;  ///< requests that have something here
    Microseconds link_free_us = 0;
    std::uint32_t next_chunk = 0;
    std::uint8_t epoch = 0;
    SimRole role = SimRole::mixed;
    SimRole next_role = SimRole::mixed;  ///< other than `role`: drains
    bool alive = true;
  };

  /// What changes in every decode step, kept small: a large run touches it some 10^8 times.
  struct Progress {
    std::int32_t context;  ///< tokens whose KV is there, or must be made by the prefill
    std::int32_t steps_left;
  };

  enum class Phase : std::uint8_t { outside, prefill, offered, moving, decode };

  /// Where a request is: a prefilled prompt stays at `prefiller` until `decoder` has its KV.
  struct Place {
    std::uint32_t prefiller = 0, decoder = 0;
    Phase phase = Phase::outside;
    std::uint8_t attempt = 0;  ///< of a transfer
    std::uint8_t restarts = 0;
  };

  void handle(Event const& event);
  void start_arrivals();
  bool arrive(std::uint32_t request);
  void arrive_next();
  void dispatch(std::uint32_t request);
  void wake(std::uint32_t instance, std::uint16_t stage);
  void start(std::uint32_t instance, std::uint16_t stage);
  bool start_prefill(std::uint32_t instance, std::uint16_t stage);
  void start_decode(std::uint32_t instance, std::uint16_t stage);
  std::int64_t choose_prompts(std::uint32_t instance, Stage& stage);
  void launch(std::uint32_t instance, std::uint16_t stage, StepWork const& work);
  void finish_step(std::uint32_t instance, std::uint16_t stage);
  void finish_prefill(std::uint32_t instance, std::uint16_t stage);
  void finish_decode(std::uint32_t instance, std::uint16_t stage);
  bool emit_prefill_token(std::uint32_t request);
  void complete(std::uint32_t instance, std::uint32_t request);
  void reserve(std::uint32_t instance, std::int64_t tokens);
  std::int64_t whole_tokens(std::uint32_t request) const;
  bool fits_everywhere(std::uint32_t request) const;

  // pipeline_chunks.cpp
  void admit_chunked(std::uint32_t instance);
  bool start_chunks(std::uint32_t instance);
  void finish_chunks(std::uint32_t instance);

  // pipeline_handoff.cpp
  void after_prefill(std::uint32_t instance, std::uint32_t request);
  void offer(std::uint32_t request);
  void pull(std::uint32_t instance);
  void transfer(std::uint32_t request, std::uint32_t to);
  void time_fabric();
  void finish_fabric(std::uint32_t version);
  void join_decode(std::uint32_t instance, std::uint32_t request);

  // pipeline_changes.cpp
  void schedule_changes();
  void fail(std::uint32_t instance);
  void displace(std::uint32_t failed, std::uint32_t request);
  void restart(std::uint32_t request);
  void repair(std::uint32_t instance);
  void open(std::uint32_t instance);
  void close(std::uint32_t instance);
  void control();
  void drain(SimRole from, SimRole to);
  void change_when_empty(std::uint32_t instance);
  void change_role(std::uint32_t instance);
  void end_orphans();

  PipelineCluster const& cluster_;
  Workload const& workload_;
  PipelineReport report_;
  EventQueue<Event> events_;
  std::vector<Instance> instances_;
  std::vector<Progress> progress_;
  std::vector<Place> places_;
  std::vector<std::uint32_t> chunk_;   ///< batch that a prompt went through stage 0 with
  std::vector<std::int32_t> pending_;  ///< with chunks: prompt tokens left to compute
  /// [instances]: prompts waiting or in prefill (a mixed instance: all requests it has); sequences assigned;
  /// unavailable_load where the role is another, or the instance is down or drains
  std::vector<std::int64_t> prefill_load_, decode_load_;
  std::vector<WaitingPrompt> waiting_;     ///< scratch of choose_prompts
  std::vector<std::uint32_t> orphans_;     ///< waiting for an instance that prefills
  std::vector<std::uint32_t> unassigned_;  ///< prefilled, waiting for an instance that decodes
  FairLink fabric_{0, 0};
  std::uint32_t fabric_version_ = 0;
  std::size_t unfinished_ = 0;
  std::uint32_t next_arrival_ = 0;  ///< of a closed loop
  double window_e2e_ms_ = 0, window_ttft_ms_ = 0, least_e2e_ms_ = 0, least_ttft_share_ = 0;
  std::int64_t window_requests_ = 0;
};

}  // namespace windlass
