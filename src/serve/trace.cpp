#include "src/serve/trace.hpp"

#include <algorithm>
#include <chrono>

namespace windlass {
namespace {

constexpr Microseconds shortest_wait_us = 100;  ///< what passes between two steps is no wait
constexpr Microseconds most_gap_us = 1'000;     ///< between two waits that are one
constexpr Microseconds oldest_us = 200'000;
constexpr std::size_t most_spans = 512;

Microseconds time_of_day_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

TraceRecorder::TraceRecorder() : day_offset_us_(time_of_day_us() - now_us()), taken_us_(now_us()) {}

void TraceRecorder::add(TraceSpanKind kind, Microseconds begin_us, Values const& values) {
  spans_.push_back({.begin_us = std::uint64_t(begin_us + day_offset_us_),
                    .duration_us = std::uint64_t(now_us() - begin_us),
                    .first = values.first,
                    .second = values.second,
                    .kind = kind,
                    .third = values.third});
}

void TraceRecorder::add_step(Microseconds begin_us, EngineCounters const& before, EngineCounters const& after) {
  if (after.steps == before.steps) return;
  add(TraceSpanKind::step, begin_us,
      {.first = std::uint64_t(after.prompt_tokens - before.prompt_tokens),
       .second = std::uint64_t(after.generated_tokens - before.generated_tokens),
       .third = std::uint32_t(after.running)});
}

void TraceRecorder::add_wait(Microseconds begin_us) {
  auto const last = std::find_if(spans_.rbegin(), spans_.rend(), [](TraceSpan const& span) {
    return span.kind == TraceSpanKind::step || span.kind == TraceSpanKind::wait;
  });
  if (last != spans_.rend() && last->kind == TraceSpanKind::wait) {
    auto const last_begin_us = Microseconds(last->begin_us) - day_offset_us_;
    if (begin_us - (last_begin_us + Microseconds(last->duration_us)) <= most_gap_us) {
      last->duration_us = std::uint64_t(now_us() - last_begin_us);
      return;
    }
  }
  if (now_us() - begin_us >= shortest_wait_us) add(TraceSpanKind::wait, begin_us, {});
}

void TraceRecorder::add_transfer(TraceSpanKind kind, KvEvent const& event) {
  auto const begin_us = Microseconds(event.ended_us - event.microseconds);
  add(kind, begin_us, {.first = event.bytes, .second = event.transfer, .third = event.peer_rank});
  spans_.back().duration_us = event.microseconds;  // the exchange has ended it while this thread computed
}

bool TraceRecorder::is_due() const {
  return spans_.size() >= most_spans || (!spans_.empty() && now_us() - taken_us_ >= oldest_us);
}

void TraceRecorder::send(Courier& courier, int controller_rank, TracePart part) {
  auto const spans = take();
  courier.send(controller_rank, Traced{.spans = spans.size(), .last = part == TracePart::last},
               std::as_bytes(std::span(spans)));
}

std::vector<TraceSpan> TraceRecorder::take() {
  taken_us_ = now_us();
  return std::exchange(spans_, {});
}

}  // namespace windlass
