#include <boost/json.hpp>
#include <set>
#include <utility>

#include "jobs/sim_report.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

constexpr std::uint32_t tracks_per_instance = 64;

json::object as_event(SimSpan const& span) {
  StepWork const& work = span.work;
  std::string name = work.prompts > 0 ? text("prefill ", work.prompts) : text("decode ", work.sequences);
  if (work.prompts > 0 && work.sequences > 0) name += text(" + decode ", work.sequences);
  return {{"name", name},
          {"ph", "X"},
          {"ts", span.begin_us},
          {"dur", span.duration_us},
          {"pid", span.instance + 1},
          {"tid", span.instance * tracks_per_instance + span.track + 1},
          {"args",
           {{"prompts", work.prompts},
            {"prompt_tokens", work.prompt_tokens},
            {"sequences", work.sequences},
            {"context_tokens", work.sequence_context}}}};
}

}  // namespace

std::string trace_json(std::string const& cluster, SpanLog const& log) {
  json::array events;
  std::set<std::uint32_t> instances;
  for (SimSpan const& span : log.spans()) {
    if (instances.insert(span.instance).second)
      events.push_back(json::object{{"name", "process_name"},
                                    {"ph", "M"},
                                    {"pid", span.instance + 1},
                                    {"args", {{"name", text(cluster, ", instance ", span.instance)}}}});
    events.push_back(as_event(span));
  }
  return json::serialize(json::object{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}) + "\n";
}

}  // namespace windlass
