#include "jobs/layout_report.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr std::array all_kinds{LayoutKind::colocated, LayoutKind::chunked, LayoutKind::pair_in_node, LayoutKind::apart,
                               LayoutKind::elastic};

template <class... Values>
std::string formatted(char const* format, Values... values) {
  char line[400];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

bool disaggregates(LayoutKind kind) { return kind == LayoutKind::pair_in_node || kind == LayoutKind::apart; }

/// As simulated: jobs have no elastic role, and their pipeline stages decode one batch at a time, not one each.
bool runs_as_job(RankedLayout const& layout) {
  bool const stages = std::max(layout.prefill.pp, layout.decode.pp) * layout.pp_cross > 1;
  return layout.kind != LayoutKind::elastic && !stages;
}

std::string instances(int count, ParallelDegree degree, int pp_cross) {
  int const pp = degree.pp * pp_cross;
  return text(count, " x tp", degree.tp, pp > 1 ? text(" pp", pp) : "");
}

std::string unit_words(RankedLayout const& layout) {
  std::string const first = instances(layout.prefill_instances, layout.prefill, layout.pp_cross);
  if (!disaggregates(layout.kind)) return first;
  return first + " prefill + " + instances(layout.decode_instances, layout.decode, layout.pp_cross) + " decode";
}

double all_per_s(RankedLayout const& layout) { return layout.goodput_per_gpu * layout.gpus * layout.units; }

std::string row(std::size_t place, RankedLayout const& layout) {
  return formatted("%3d  %-24s %-40s %4d %5d %10.3f %9.2f %8.0f%% %8.0f%%  %s%s\n", int(place) + 1,
                   kind_name(layout.kind), unit_words(layout).c_str(), layout.gpus, layout.units,
                   layout.goodput_per_gpu, all_per_s(layout), 100 * layout.ttft_use, 100 * layout.tpot_use,
                   layout.limit.c_str(), layout.cause.empty() ? "" : (": " + layout.cause).c_str());
}

std::optional<std::size_t> best_of(std::vector<RankedLayout> const& layouts, LayoutKind kind) {
  for (std::size_t i = 0; i < layouts.size(); ++i)
    if (layouts[i].kind == kind) return i;
  return std::nullopt;
}

std::string table(std::vector<RankedLayout> const& layouts, std::size_t rows) {
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < layouts.size() && i < rows; ++i) shown.push_back(i);
  for (LayoutKind const kind : all_kinds)
    if (auto const best = best_of(layouts, kind); best && *best >= rows) shown.push_back(*best);
  std::sort(shown.begin(), shown.end());
  std::string words = formatted("%3s  %-24s %-40s %4s %5s %10s %9s %9s %9s  %s\n", "#", "layout", "one unit", "GPUs",
                                "units", "req/s/GPU", "req/s all", "TTFT use", "TPOT use", "beyond that, what breaks");
  for (std::size_t const i : shown) words += row(i, layouts[i]);
  if (shown.size() < layouts.size()) words += text("     (", layouts.size(), " meet the levels; --rows shows more)\n");
  for (LayoutKind const kind : all_kinds)
    if (!best_of(layouts, kind)) words += text("  -  ", kind_name(kind), ": none fits and meets the levels\n");
  return words;
}

/// The best with both phases on one instance, and the best with phases apart.
struct Compared {
  RankedLayout const *together = nullptr, *apart = nullptr;
};

/// Among those that run as jobs where there are any.
Compared compared(std::vector<RankedLayout> const& layouts) {
  bool const any_job = std::any_of(layouts.begin(), layouts.end(), runs_as_job);
  Compared both;
  for (RankedLayout const& layout : layouts) {
    if (layout.kind == LayoutKind::elastic || (any_job && !runs_as_job(layout))) continue;
    RankedLayout const*& best = disaggregates(layout.kind) ? both.apart : both.together;
    if (best == nullptr) best = &layout;
  }
  return both;
}

std::string because(RankedLayout const& layout) {
  return layout.limit + (layout.cause.empty() ? "" : " (" + layout.cause + ")");
}

std::string advice(std::vector<RankedLayout> const& layouts) {
  auto const [together, apart] = compared(layouts);
  constexpr double worth = 1.05;  // below that, one kind of instance is simpler to run
  if (together == nullptr && apart == nullptr) return "Only elastic groups meet the levels.\n";
  if (apart == nullptr)
    return text(
        "Do not disaggregate: ", kind_name(together->kind),
        " instances meet the levels, prefill and decode instances of their own do not (or need more devices).\n");
  if (together == nullptr) return "Disaggregate: where one instance does both phases, the levels are met at no rate.\n";
  double const gain = apart->goodput_per_gpu / together->goodput_per_gpu;
  if (gain > worth)
    return formatted(
        "Disaggregate: %.2f times the requests per GPU of the best colocated layout, where %s breaks first;\n"
        "apart, no prompt delays a running answer, and each phase has its own degree.\n",
        gain, because(*together).c_str());
  return formatted(
      "Do not disaggregate: phases apart serve %.2f times the requests per GPU of the best colocated layout.\n"
      "Their %s breaks first: what one phase does not need, the other cannot use.\n",
      gain, because(*apart).c_str());
}

/// What would be better, if jobs could.
std::string simulated_only(std::vector<RankedLayout> const& layouts) {
  auto const job = std::find_if(layouts.begin(), layouts.end(), runs_as_job);
  if (job == layouts.begin() || job == layouts.end()) return "";
  RankedLayout const& best = layouts.front();
  return formatted(
      "Number 1 would serve %.2f times the best of these: simulated only, jobs have no %s yet.\n",
      best.goodput_per_gpu / job->goodput_per_gpu,
      best.kind == LayoutKind::elastic ? "elastic groups" : "pipeline stages (pp) that decode several batches at once");
}

std::string job(LayoutProblem const& problem, std::vector<RankedLayout> const& layouts, std::string const& model) {
  auto const best = std::find_if(layouts.begin(), layouts.end(), runs_as_job);
  if (best == layouts.end())
    return "None of them runs so as a job: pipeline stages (pp) of jobs decode one batch at a time, and there is no\n"
           "elastic role.\n";
  bool const chunked = best->kind == LayoutKind::chunked;
  std::string words =
      text("\nTo run number ", best - layouts.begin() + 1,
           best == layouts.begin() ? ":\n" : ", the best that runs as a job (without pipeline stages):\n");
  words += text("  sbatch --nodes=", problem.nodes, " --ntasks-per-node=", problem.gpus_per_node, " --wrap \\\n");
  words += text("    'srun windlass batch --model ", model, " --input in.jsonl --output out.jsonl --layout ",
                layout_words(*best, problem), "'\n");
  words +=
      chunked ? "  (--max-num-batched-tokens 512, the default, cuts prompts into chunks)\n"
              : "  (prompts come in chunks of --max-num-batched-tokens 512; larger ones are closer to whole prompts)\n";
  words += text("  Expect up to ", formatted("%.2f", all_per_s(*best)),
                " requests/s within the levels; a batch has no\n"
                "  levels and runs faster, an endpoint should stay below. Test first with one unit.\n");
  return words;
}

}  // namespace

char const* kind_name(LayoutKind kind) {
  switch (kind) {
    case LayoutKind::colocated:
      return "colocated";
    case LayoutKind::chunked:
      return "colocated, chunked";
    case LayoutKind::elastic:
      return "elastic group";
    case LayoutKind::pair_in_node:
      return "disaggregated, in nodes";
    case LayoutKind::apart:
      return "disaggregated, any node";
  }
  return "";
}

std::string layout_words(RankedLayout const& layout, LayoutProblem const& problem) {
  auto const item = [&](char const* role, int count, ParallelDegree degree) {
    return text(role, "=", count * layout.units, "xtp", degree.tp);
  };
  int const spare = problem.nodes * problem.gpus_per_node - layout.units * layout.gpus;
  std::string const rest = spare > 0 ? text(",spare=", spare) : "";
  if (!disaggregates(layout.kind)) return item("mixed", 1, layout.prefill) + rest;
  return item("prefill", layout.prefill_instances, layout.prefill) + "," +
         item("decode", layout.decode_instances, layout.decode) + rest;
}

std::string layout_report(LayoutProblem const& problem, std::vector<RankedLayout> const& layouts, std::size_t rows,
                          std::string const& model) {
  int const gpus = problem.nodes * problem.gpus_per_node;
  return formatted(
             "levels:  TTFT %g ms and TPOT %g ms for %g %% of requests; a unit repeats over the %d GPUs (or ranks)\n\n",
             problem.level.ttft_ms, problem.level.tpot_ms, 100 * problem.target, gpus) +
         table(layouts, rows) + "\n" + advice(layouts) + simulated_only(layouts) + job(problem, layouts, model);
}

}  // namespace windlass
