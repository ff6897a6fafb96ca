/// The controller's side of several instances: requests go out to them, answers come back.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "mpi/courier.hpp"
#include "src/policy/failure_detector.hpp"
#include "src/policy/layout_plan.hpp"
#include "src/policy/plan_log.hpp"
#include "src/serve/checkpoint_coordinator.hpp"
#include "src/serve/choice_stream.hpp"
#include "src/serve/progress.hpp"
#include "src/serve/report.hpp"
#include "src/serve/request_runner.hpp"

namespace windlass {

/// Nobody is left to compute: what is not answered stays for the next run.
class EveryInstanceLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct DistributedConfig {
  FailureRule failures;
  PlanLog* plan_log = nullptr;   ///< gets every choice of an instance and every look for failures
  int most_deaths = 2;           ///< of instances that a request was running at: then it is answered with an error
  std::vector<int> spare_ranks;  ///< with a worker each; they take the places of lost instances of one rank
  /// Ends the process of a rank that has been silent for too long. True: RankEnded will be told; false: nobody can.
  std::function<bool(int world_rank)> kill_rank;
  CheckpointCoordinator* checkpoints = nullptr;                                ///< null: none are written
  std::function<void(int world_rank, std::span<TraceSpan const>)> on_trace{};  ///< gets what ranks have done
  std::chrono::microseconds patience{20'000};  ///< of a step for answers: so long new requests may wait
};

/// What was lost, and what became of it.
struct Losses {
  std::vector<int> ranks;
  int instances = 0, spares_taken = 0;
  std::int64_t restarted_requests = 0;  ///< that started again elsewhere
  std::int64_t failed_requests = 0;     ///< answered with an error: they were running at too many losses
};

/// What moved between instances.
struct MovedKv {
  KvFlow shared, copied;
  std::int64_t microseconds = 0;  ///< from offers to ends, with all waits
  std::int64_t failed = 0;        ///< handoffs whose prompts were computed again
  std::int64_t without_kv = 0;    ///< requests that were handed over before anything was computed
  std::int64_t requests() const { return shared.requests + copied.requests; }
};

/// Each request goes to the prefill-capable instance with the fewest prompt tokens open, and its decode to the peer
/// with the fewest open sequences. A rank is lost when its process ends (RankEnded) or it is silent for too long: then
/// it is killed first, where that is possible. Its instance is lost with it; a spare rank takes the place, or else the
/// instances of the other role compute both. Requests of a lost instance are sent to another one, from the start: the
/// same tokens. One thread calls it.
class DistributedRunner final : public RequestRunner {
 public:
  /// `instances` and their leaders; the courier must outlive it. An instance that hears nothing is lost.
  DistributedRunner(Courier& courier, std::vector<PlannedInstance> instances, DistributedConfig const& config);

  void submit(Request request) override;
  void cancel(RequestId request) override;
  bool idle() const override { return open_.empty(); }
  void step() override;  ///< waits for an answer, but not long. Throws EveryInstanceLost
  std::vector<Answer> take_answers() override { return std::exchange(answers_, {}); }
  std::vector<ChoiceDelta> take_deltas() override { return std::exchange(deltas_, {}); }
  EngineCounters counters() const override;
  InstancesView instances() const override;
  void input_ended() override;
  /// Orders the last checkpoint and waits for its parts.
  void save_progress(Microseconds until_us) override;
  Microseconds save_us() override;

  enum class End : std::uint8_t { done, failed };
  /// Tells all other ranks to end. Once, at the end.
  void shut_down(End end);
  MovedKv const& moved() const { return moved_; }
  /// [instances] as their last heartbeats told.
  std::vector<InstanceView> views() const;
  /// Once all is answered: until moved() has all of it.
  void await_handoffs(Microseconds until_us);
  /// After shut_down(), where the job is traced: until every live rank has told what it did.
  void await_traces(Microseconds until_us);
  Losses const& losses() const { return losses_; }
  /// Answers that came from another instance than the prompt's.
  std::int64_t decoded_elsewhere() const { return decoded_elsewhere_; }

 private:
  struct Instance {
    PlannedInstance plan;
    std::int64_t prompt_tokens = 0;  ///< of open requests that it prefills
    std::int64_t sequences = 0;      ///< of open requests that it decodes
    bool lost = false;
    std::uint64_t kv_in_bytes = 0, kv_out_bytes = 0;
    int leader() const { return plan.ranks.front(); }
  };
  struct Open {
    Request request;
    std::uint64_t epoch = 0;
    std::size_t prefill = 0, decode = 0;  ///< instances
    Microseconds submitted_us = 0;
    bool moved = false;  ///< the decode instance has it
    int deaths = 0;
    std::vector<ChoiceStream> streams;  ///< [choices], of a request that is told as it comes
    bool runs_at(std::size_t instance) const { return moved ? decode == instance : prefill == instance; }
  };

  void dispatch(Open& open);
  std::size_t choose_prefill() const;
  DispatchPlan choose(std::vector<std::int64_t> const& load) const;
  std::size_t choose_decode(std::size_t prefill) const;
  void settle(Open const& open);  ///< takes its load off its instances
  void listen(std::chrono::microseconds patience);
  void take(Envelope const& envelope);
  void take_answer(Envelope const& envelope);
  void take_trace(Envelope const& envelope);
  void take_pieces(Envelope const& envelope);
  void end_streams(Open& open, Answer const& answer);
  void take_moved(Moved const& message);
  void count_flow(Moved const& message, int from_rank);
  void look_for_failures();
  void add_work_of(Instance const& instance, EngineCounters& sum) const;
  std::vector<int> live_leaders() const;
  void suspect(std::size_t instance);
  void lose_rank(int world_rank, RankFate fate);
  void lose(std::size_t instance);
  void replace(std::size_t instance);
  void spread_roles();
  void become_mixed(Instance& instance);
  void restart_requests(std::size_t instance);
  void withdraw(RequestId request, Open const& open);
  bool live(std::size_t instance) const { return !instances_[instance].lost; }

  Courier& courier_;
  std::vector<Instance> instances_;
  DistributedConfig config_;
  std::map<RequestId, Open> open_;
  std::vector<Answer> answers_;
  std::vector<ChoiceDelta> deltas_;
  MovedKv moved_;
  std::int64_t decoded_elsewhere_ = 0;
  Losses losses_;
  EngineCounters done_by_replaced_;  ///< by lost ranks whose places others have: what only grows
  std::set<int> lost_ranks_, killed_ranks_;
  bool shut_down_ = false;
  std::size_t traced_to_the_end_ = 0;  ///< ranks
  Microseconds last_look_us_ = 0, grace_until_us_ = 0;
};

}  // namespace windlass
