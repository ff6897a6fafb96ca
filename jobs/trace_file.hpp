/// --trace: what the ranks of a job did, as Perfetto and chrome://tracing read it.
#pragma once

#include <cstdint>
#include <fstream>
#include <span>
#include <string>

#include "mpi/message.hpp"
#include "src/policy/layout_plan.hpp"
#include "src/serve/trace.hpp"

namespace windlass {

/// Trace events in JSON, written as they come, so that the file can be read after a crash too. A process is a rank;
/// steps and waits are on its first thread, handoffs of KV are asynchronous events. One thread calls it.
class TraceFile {
 public:
  /// Replaces the file. Throws FileError. Ranks are called after what they do, such as "rank 2: decode, instance 1".
  TraceFile(std::string const& path, LayoutPlan const& layout);
  ~TraceFile();

  /// Where the disk is full, the trace ends with a warning; the job goes on.
  void add(int world_rank, std::span<TraceSpan const> spans);

 private:
  void name_rank(int world_rank, std::string const& name);
  void write(std::string const& event);
  void flush();

  std::string path_;
  std::ofstream file_;
  std::uint64_t begin_us_ = 0;  ///< time of day at which the trace begins
  std::uint64_t transfers_ = 0;
  bool is_first_ = true;
};

/// Another runner's steps, written to a trace. Both must outlive it.
class TracedRunner final : public RequestRunner {
 public:
  TracedRunner(RequestRunner& runner, TraceFile& file) : runner_(runner), file_(file) {}
  ~TracedRunner() override { file_.add(0, recorder_.take()); }
  void submit(Request request) override { runner_.submit(std::move(request)); }
  void cancel(RequestId request) override { runner_.cancel(request); }
  bool idle() const override { return runner_.idle(); }
  void step() override;
  std::vector<Answer> take_answers() override { return runner_.take_answers(); }
  std::vector<ChoiceDelta> take_deltas() override { return runner_.take_deltas(); }
  EngineCounters counters() const override { return runner_.counters(); }
  void input_ended() override { runner_.input_ended(); }
  void save_progress(Microseconds until_us) override { runner_.save_progress(until_us); }
  Microseconds save_us() override { return runner_.save_us(); }

 private:
  RequestRunner& runner_;
  TraceFile& file_;
  TraceRecorder recorder_;
};

}  // namespace windlass
