/// What the ranks of a job do when: steps, transfers of KV and waits, on one clock.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "mpi/courier.hpp"
#include "src/core/clock.hpp"
#include "src/engine/engine.hpp"
#include "src/serve/request_runner.hpp"

namespace windlass {

/// Gathers the spans of one rank until they are sent or written. One thread calls it.
enum class TracePart : bool { more_follows, last };

class TraceRecorder {
 public:
  TraceRecorder();

  /// A step that has ended now, if anything was computed.
  void add_step(Microseconds begin_us, EngineCounters const& before, EngineCounters const& after);
  /// Of a rank that computes what its leader plans, and knows no requests.
  void add_step(Microseconds begin_us) { add(TraceSpanKind::step, begin_us, {}); }
  /// Nothing could be computed until now. Waits that follow each other are one.
  void add_wait(Microseconds begin_us);
  /// A handoff that has ended. `kind`: kv_sent, kv_lent or kv_received.
  void add_transfer(TraceSpanKind kind, KvEvent const& event);

  /// Whether the spans should go on their way: they are many, or old.
  bool is_due() const;
  std::vector<TraceSpan> take();
  /// What was gathered, to the controller.
  void send(Courier& courier, int controller_rank, TracePart part);

 private:
  struct Values {
    std::uint64_t first = 0, second = 0;
    std::uint32_t third = 0;
  };
  void add(TraceSpanKind kind, Microseconds begin_us, Values const& values);

  Microseconds day_offset_us_;  ///< from the job clock to the time of day
  Microseconds taken_us_;
  std::vector<TraceSpan> spans_;
};

}  // namespace windlass
