/// What answers requests: the engine, or in tests something that answers at once.
#pragma once

#include <vector>

#include "src/engine/engine.hpp"
#include "src/serve/instances_view.hpp"

namespace windlass {

/// Local; one thread calls it. See Engine for what the calls mean.
class RequestRunner {
 public:
  virtual ~RequestRunner() = default;
  virtual void submit(Request request) = 0;
  virtual void cancel(RequestId request) = 0;
  virtual bool idle() const = 0;
  virtual void step() = 0;
  virtual std::vector<Answer> take_answers() = 0;
  /// A runner that never streams has none.
  virtual std::vector<ChoiceDelta> take_deltas() { return {}; }
  virtual EngineCounters counters() const = 0;
  virtual InstancesView instances() const { return {}; }
  /// No request will be submitted any more.
  virtual void input_ended() {}
  /// The run ends with requests unfinished: what they have come to is kept for the next one, where there is a place.
  /// At most until `until_us` (never_us: as long as it takes).
  virtual void save_progress([[maybe_unused]] Microseconds until_us) {}
  /// How long save_progress() would take now.
  virtual Microseconds save_us() { return 0; }
};

class EngineRunner final : public RequestRunner {
 public:
  explicit EngineRunner(Engine& engine) : engine_(&engine) {}
  void submit(Request request) override { engine_->submit(std::move(request)); }
  void cancel(RequestId request) override { engine_->cancel(request); }
  bool idle() const override { return engine_->idle(); }
  void step() override { engine_->step(); }
  std::vector<Answer> take_answers() override { return engine_->take_answers(); }
  std::vector<ChoiceDelta> take_deltas() override { return engine_->take_deltas(); }
  EngineCounters counters() const override { return engine_->counters(); }

 private:
  Engine* engine_;
};

}  // namespace windlass
