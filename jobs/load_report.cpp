#include "jobs/load_report.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <ctime>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"
#include "src/sim/outcome.hpp"

namespace windlass {
namespace {

LatencyFigures latency_figures(std::vector<double> const& values, std::vector<double> const& percents) {
  LatencyFigures figures{.percentiles = std::vector<double>(percents.size())};
  if (values.empty()) return figures;
  figures.mean = mean(values);
  double squares = 0;
  for (double const value : values) squares += (value - figures.mean) * (value - figures.mean);
  figures.deviation = std::sqrt(squares / double(values.size()));
  figures.most = *std::max_element(values.begin(), values.end());
  for (std::size_t i = 0; i < percents.size(); ++i) figures.percentiles[i] = percentile(values, percents[i] / 100);
  return figures;
}

double measured(LoadOutcome const& outcome, std::string const& level) {
  if (level == "ttft") return outcome.ttft_ms();
  if (level == "tpot") return outcome.tpot_ms();
  return outcome.e2e_ms();
}

void count_levels(LoadFigures& figures, LoadOutcome const& outcome) {
  bool good = true;
  for (auto const& [level, limit_ms] : figures.levels) {
    bool const met = measured(outcome, level) <= limit_ms;
    if (met) figures.attained[level] += 1;
    good = good && met;
  }
  if (good) ++figures.good;
}

[[gnu::format(printf, 1, 2)]] std::string formatted(char const* format, ...) {
  char line[512];
  va_list values;
  va_start(values, format);
  std::vsnprintf(line, sizeof line, format, values);
  va_end(values);
  return line;
}

std::string table_row(char const* name, LatencyFigures const& figures) {
  std::string row = formatted("%-10s %10.2f", name, figures.mean);
  for (double const value : figures.percentiles) row += formatted(" %10.2f", value);
  return row + formatted(" %10.2f\n", figures.most);
}

std::string latency_table(LoadFigures const& figures) {
  std::string table = formatted("\n%-10s %10s", "ms", "mean");
  for (double const percent : figures.percents) table += formatted(" %10s", text("p", percent).c_str());
  table += formatted(" %10s\n", "max");
  table += table_row("TTFT", figures.ttft) + table_row("TPOT", figures.tpot) + table_row("ITL", figures.itl);
  return table + table_row("E2E", figures.e2e) + table_row("sent late", figures.late);
}

std::string levels_table(LoadFigures const& figures) {
  if (figures.levels.empty()) return "";
  std::string table = "\n";
  for (auto const& [level, limit_ms] : figures.levels)
    table += formatted("%-6s within %8g ms   %6.2f %% of the requests\n", level.c_str(), limit_ms,
                       100 * figures.attained.at(level));
  return table + formatted("all of these             %6.2f %%; goodput %.3f requests/s\n",
                           100 * double(figures.good) / double(std::max<std::int64_t>(1, figures.asked)),
                           double(figures.good) / figures.seconds);
}

void write_latency(JsonText& out, std::string const& name, LatencyFigures const& figures,
                   std::vector<double> const& percents) {
  out.member("mean_" + name + "_ms", figures.mean).member("std_" + name + "_ms", figures.deviation);
  out.member("max_" + name + "_ms", figures.most);
  for (std::size_t i = 0; i < percents.size(); ++i) {
    out.member(text("p", percents[i], "_", name, "_ms"), figures.percentiles[i]);
    if (percents[i] == 50) out.member("median_" + name + "_ms", figures.percentiles[i]);
  }
}

void write_throughput(JsonText& out, LoadFigures const& figures) {
  out.member("duration", figures.seconds).member("num_prompts", figures.asked).member("completed", figures.completed);
  out.member("failed", figures.asked - figures.completed).member("total_input_tokens", figures.prompt_tokens);
  out.member("total_cached_tokens", figures.cached_tokens).member("total_output_tokens", figures.output_tokens);
  out.member("request_throughput", double(figures.completed) / figures.seconds);
  out.member("output_throughput", double(figures.output_tokens) / figures.seconds);
  out.member("total_token_throughput", double(figures.prompt_tokens + figures.output_tokens) / figures.seconds);
}

void write_levels(JsonText& out, LoadFigures const& figures) {
  if (figures.levels.empty()) return;
  out.member("request_goodput", double(figures.good) / figures.seconds);
  out.key("slo").begin_object();
  for (auto const& [level, limit_ms] : figures.levels) out.member(level + "_ms", limit_ms);
  out.end_object().key("slo_attainment").begin_object();
  for (auto const& [level, share] : figures.attained) out.member(level, share);
  out.member("all", double(figures.good) / double(std::max<std::int64_t>(1, figures.asked))).end_object();
}

void write_requests(JsonText& out, LoadResult const& result) {
  out.key("requests").begin_array();
  for (LoadOutcome const& outcome : result.outcomes) {
    out.begin_object().member("at_s", double(outcome.counted_from_us - result.begun_us) * 1e-6);
    out.member("prompt_tokens", outcome.prompt_tokens).member("cached_tokens", outcome.cached_tokens);
    out.member("output_tokens", outcome.output_tokens);
    if (outcome.error.empty()) {
      out.member("ttft_ms", outcome.ttft_ms()).member("tpot_ms", outcome.tpot_ms()).member("e2el_ms", outcome.e2e_ms());
      out.key("itl_ms").begin_array();
      for (Microseconds const gap_us : outcome.gaps_us) out.value(double(gap_us) * 1e-3);
      out.end_array();
    } else {
      out.member("error", outcome.error);
    }
    out.end_object();
  }
  out.end_array();
}

std::string utc_now() {
  std::time_t const now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char words[32];
  std::strftime(words, sizeof words, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return words;
}

}  // namespace

ServiceLevels parse_service_levels(std::vector<std::string> const& words) {
  ServiceLevels levels;
  for (std::string const& word : words) {
    std::size_t const colon = std::min(word.find(':'), word.size());
    std::string const name = word.substr(0, colon), limit = word.substr(std::min(colon + 1, word.size()));
    double limit_ms = 0;
    auto const [end, failed] = std::from_chars(limit.data(), limit.data() + limit.size(), limit_ms);
    bool const known = name == "ttft" || name == "tpot" || name == "e2el";
    if (!known || failed != std::errc{} || end != limit.data() + limit.size() || !(limit_ms > 0))
      throw InputError(text("--goodput ", word, " is no limit; write it like ttft:200, tpot:50 or e2el:5000 (ms)"));
    levels[name] = limit_ms;
  }
  return levels;
}

LoadFigures figures_of(LoadResult const& result, std::vector<double> const& percents, ServiceLevels const& levels) {
  LoadFigures figures{.asked = std::int64_t(result.outcomes.size()), .percents = percents, .levels = levels};
  std::vector<double> ttft, tpot, itl, e2e, late;
  Microseconds last_us = result.begun_us + 1;
  for (auto const& [level, limit_ms] : levels) figures.attained[level] = 0;
  for (LoadOutcome const& outcome : result.outcomes) {
    late.push_back(double(outcome.late_us) * 1e-3);
    last_us = std::max(last_us, outcome.last_us);
    if (!outcome.error.empty()) {
      ++figures.errors[outcome.error];
      continue;
    }
    ++figures.completed;
    figures.prompt_tokens += outcome.prompt_tokens;
    figures.cached_tokens += outcome.cached_tokens;
    figures.output_tokens += outcome.output_tokens;
    ttft.push_back(outcome.ttft_ms());
    e2e.push_back(outcome.e2e_ms());
    if (outcome.output_tokens > 1) tpot.push_back(outcome.tpot_ms());
    for (Microseconds const gap_us : outcome.gaps_us) itl.push_back(double(gap_us) * 1e-3);
    count_levels(figures, outcome);
  }
  for (auto& [level, share] : figures.attained) share /= double(std::max<std::int64_t>(1, figures.asked));
  figures.seconds = double(last_us - result.begun_us) * 1e-6;
  figures.ttft = latency_figures(ttft, percents);
  figures.tpot = latency_figures(tpot, percents);
  figures.itl = latency_figures(itl, percents);
  figures.e2e = latency_figures(e2e, percents);
  figures.late = latency_figures(late, percents);
  return figures;
}

std::string load_table(LoadFigures const& figures) {
  std::string table = formatted("requests      %10lld   failed %lld\n", static_cast<long long>(figures.completed),
                                static_cast<long long>(figures.asked - figures.completed));
  table += formatted("seconds       %10.2f   %.2f requests/s\n", figures.seconds,
                     double(figures.completed) / figures.seconds);
  table +=
      formatted("prompt tokens %10lld   %.1f tokens/s, %lld cached\n", static_cast<long long>(figures.prompt_tokens),
                double(figures.prompt_tokens) / figures.seconds, static_cast<long long>(figures.cached_tokens));
  table += formatted("output tokens %10lld   %.1f tokens/s\n", static_cast<long long>(figures.output_tokens),
                     double(figures.output_tokens) / figures.seconds);
  table += latency_table(figures) + levels_table(figures);
  for (auto const& [error, count] : figures.errors) table += text("\n", count, " failed: ", error, "\n");
  return table;
}

std::string load_json(LoadFigures const& figures, LoadDescription const& description, LoadResult const& result) {
  JsonText out;
  out.begin_object().member("date", utc_now()).member("program", description.program);
  out.member("model_id", description.model).member("base_url", description.base_url);
  out.member("endpoint", description.endpoint).member("dataset", description.dataset).key("request_rate");
  if (std::isinf(description.request_rate))
    out.value("inf");
  else
    out.value(description.request_rate);
  out.member("burstiness", description.burstiness).member("max_concurrency", description.max_concurrency);
  out.member("seed", description.seed);
  write_throughput(out, figures);
  write_levels(out, figures);
  write_latency(out, "ttft", figures.ttft, figures.percents);
  write_latency(out, "tpot", figures.tpot, figures.percents);
  write_latency(out, "itl", figures.itl, figures.percents);
  write_latency(out, "e2el", figures.e2e, figures.percents);
  write_latency(out, "late", figures.late, figures.percents);
  out.key("errors").begin_object();
  for (auto const& [error, count] : figures.errors) out.member(error, count);
  out.end_object();
  if (description.detail == LoadDescription::Detail::every_request) write_requests(out, result);
  out.end_object();
  return out.take() + "\n";
}

}  // namespace windlass
