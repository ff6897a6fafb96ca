/// The controller's side of several instances: requests go out to them, answers come back.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "mpi/courier.hpp"
#include "src/policy/failure_detector.hpp"
#include "src/policy/layout_plan.hpp"
#include "src/serve/request_runner.hpp"

namespace windlass {

struct DistributedConfig {
  FailureRule failures;
  int most_deaths = 2;  ///< of instances that a request was running at: then it is answered with an error
};

/// What moved between instances.
struct MovedKv {
  std::int64_t requests = 0, bytes = 0, pages = 0, microseconds = 0;
  std::int64_t failed = 0;  ///< handoffs whose prompts were computed again
};

/// Each request goes to the prefill-capable instance with the fewest prompt tokens open, and its decode to the peer
/// with the fewest open sequences. Requests of a lost instance are sent to another one, from the start: the same
/// tokens. One thread calls it.
class DistributedRunner final : public RequestRunner {
 public:
  /// `instances` and their leaders; the courier must outlive it. An instance that hears nothing is lost.
  DistributedRunner(Courier& courier, std::vector<PlannedInstance> instances, DistributedConfig const& config);

  void submit(Request request) override;
  void cancel(RequestId request) override;
  bool idle() const override { return open_.empty(); }
  void step() override;  ///< waits up to 20 ms for an answer
  std::vector<Answer> take_answers() override { return std::exchange(answers_, {}); }
  std::vector<ChoiceDelta> take_deltas() override { return {}; }
  EngineCounters counters() const override;

  /// Tells all other ranks to end. Call it once, at the end.
  void shut_down(Shutdown const& message);
  MovedKv const& moved() const { return moved_; }
  std::size_t lost_instances() const;
  /// Answers that came from another instance than the prompt's.
  std::int64_t decoded_elsewhere() const { return decoded_elsewhere_; }

 private:
  struct Instance {
    PlannedInstance plan;
    std::int64_t prompt_tokens = 0;  ///< of open requests that it prefills
    std::int64_t sequences = 0;      ///< of open requests that it decodes
    bool lost = false;
    int leader() const { return plan.ranks.front(); }
  };
  struct Open {
    Request request;
    std::uint64_t epoch = 0;
    std::size_t prefill = 0, decode = 0;  ///< instances
    Microseconds submitted_us = 0;
    int deaths = 0;
  };

  void dispatch(Open& open);
  std::size_t choose_prefill() const;
  std::size_t choose_decode(std::size_t prefill) const;
  void settle(Open const& open);  ///< takes its load off its instances
  void take(Envelope const& envelope);
  void take_answer(Envelope const& envelope);
  void look_for_failures();
  void lose(std::size_t instance);

  Courier& courier_;
  std::vector<Instance> instances_;
  DistributedConfig config_;
  std::map<RequestId, Open> open_;
  std::vector<Answer> answers_;
  MovedKv moved_;
  std::int64_t decoded_elsewhere_ = 0;
  Microseconds last_look_us_ = 0, grace_until_us_ = 0;
};

}  // namespace windlass
