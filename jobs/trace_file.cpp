#include "jobs/trace_file.hpp"

#include <cerrno>
#include <chrono>

#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {
namespace {

constexpr int steps_thread = 1;

std::string step_name(TraceSpan const& span) {
  if (span.first > 0) return text("prefill ", span.first);
  return span.second > 0 ? text("decode ", span.second) : "step";
}

std::string slice(int world_rank, TraceSpan const& span, std::int64_t ts_us) {
  JsonText out;
  bool const is_step = span.kind == TraceSpanKind::step;
  out.begin_object().member("name", is_step ? step_name(span) : "wait").member("cat", is_step ? "step" : "wait");
  out.member("ph", "X").member("ts", ts_us).member("dur", span.duration_us);
  out.member("pid", world_rank).member("tid", steps_thread);
  if (is_step) {
    out.key("args").begin_object().member("prompt_tokens", span.first).member("generated_tokens", span.second);
    out.member("sequences", std::uint64_t{span.third}).end_object();
  }
  return out.end_object().take();
}

struct TransferEvent {
  char const* phase;
  std::int64_t ts_us;
  std::uint64_t id;
};

std::string transfer(int world_rank, TraceSpan const& span, TransferEvent const& event) {
  bool const received = span.kind == TraceSpanKind::kv_received;
  std::string const way =
      received ? text("KV from rank ", span.third)
               : text(span.kind == TraceSpanKind::kv_lent ? "KV lent to rank " : "KV to rank ", span.third);
  JsonText out;
  out.begin_object().member("name", way).member("cat", "kv").member("ph", event.phase).member("id", event.id);
  out.member("ts", event.ts_us).member("pid", world_rank).member("tid", steps_thread);
  if (*event.phase == 'b')
    out.key("args").begin_object().member("bytes", span.first).member("transfer", span.second).end_object();
  return out.end_object().take();
}

}  // namespace

TraceFile::TraceFile(std::string const& path, LayoutPlan const& layout) : path_(path), file_(path, std::ios::binary) {
  using namespace std::chrono;
  begin_us_ = std::uint64_t(duration_cast<microseconds>(system_clock::now().time_since_epoch()).count());
  if (!(file_ << "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n")) throw FileError(path, "open", errno);
  for (std::size_t i = 0; i < layout.instances.size(); ++i)
    for (int const rank : layout.instances[i].ranks)
      name_rank(rank, text("rank ", rank, ": ", role_name(layout.instances[i].role), ", instance ", i));
  for (int const rank : layout.spare_ranks) name_rank(rank, text("rank ", rank, ": spare"));
}

TraceFile::~TraceFile() {
  if (!file_) return;
  file_ << "\n]}\n";
  flush();
}

void TraceFile::write(std::string const& event) {
  file_ << (is_first_ ? "" : ",\n") << event;
  is_first_ = false;
}

void TraceFile::flush() {
  if (!file_.flush()) log_warning(text("--trace ", path_, ": it could not be written further (is the disk full?)"));
}

void TraceFile::name_rank(int world_rank, std::string const& name) {
  JsonText out;
  out.begin_object().member("name", "process_name").member("ph", "M").member("pid", world_rank);
  write(out.key("args").begin_object().member("name", name).end_object().end_object().take());
}

void TraceFile::add(int world_rank, std::span<TraceSpan const> spans) {
  if (!file_) return;
  for (TraceSpan const& span : spans) {
    std::int64_t const ts_us = std::int64_t(span.begin_us - begin_us_);
    if (span.kind == TraceSpanKind::step || span.kind == TraceSpanKind::wait) {
      write(slice(world_rank, span, ts_us));
      continue;
    }
    std::uint64_t const id = ++transfers_;
    write(transfer(world_rank, span, {.phase = "b", .ts_us = ts_us, .id = id}));
    write(transfer(world_rank, span, {.phase = "e", .ts_us = ts_us + std::int64_t(span.duration_us), .id = id}));
  }
  flush();
}

void TracedRunner::step() {
  Microseconds const begin_us = now_us();
  EngineCounters const before = runner_.counters();
  runner_.step();
  recorder_.add_step(begin_us, before, runner_.counters());
  if (recorder_.is_due()) file_.add(0, recorder_.take());
}

}  // namespace windlass
