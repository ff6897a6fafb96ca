#include "src/serve/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "src/core/bytes_text.hpp"
#include "src/core/text.hpp"
#include "src/serve/json_text.hpp"
#include "src/serve/progress.hpp"

namespace windlass {
namespace {

constexpr double percentiles[] = {50, 90, 99};

double per_second(std::int64_t count, double seconds) { return seconds > 0 ? double(count) / seconds : 0; }

/// Two digits behind the point, as JSON and people like them.
double rounded(double value) { return std::round(value * 100) / 100; }

void write_latency(JsonText& out, char const* name, LatencyHistogram const& histogram) {
  out.key(name).begin_object().member("mean", rounded(histogram.mean_us() / 1000));
  for (double const percent : percentiles)
    out.member(text("p", percent), rounded(histogram.percentile_us(percent) / 1000));
  out.end_object();
}

void write_counts(JsonText& out, BatchReport const& report) {
  BatchCounts const& counts = report.counts;
  std::int64_t const computed = counts.prompt_tokens - counts.cached_tokens;
  out.key("requests").begin_object().member("answered", counts.answered).member("input_errors", counts.input_errors);
  out.member("failed", counts.failures).member("run_errors", report.run_errors).member("skipped", report.skipped);
  out.end_object();
  out.key("tokens").begin_object().member("prompt", counts.prompt_tokens).member("cached", counts.cached_tokens);
  out.member("generated", counts.generated_tokens).end_object();
  out.member("seconds", rounded(report.seconds)).member("load_seconds", rounded(report.load_seconds));
  out.member("prompt_tokens_per_s", rounded(per_second(computed, report.seconds)));
  out.member("generated_tokens_per_s", rounded(per_second(counts.generated_tokens, report.seconds)));
  write_latency(out, "ttft_ms", report.ttft);
  write_latency(out, "tpot_ms", report.tpot);
}

void write_engine(JsonText& out, BatchReport const& report) {
  EngineCounters const& engine = report.engine;
  out.key("engine").begin_object().member("steps", engine.steps).member("preemptions", engine.preemptions);
  out.member("busy_seconds", rounded(double(engine.busy_us) * 1e-6)).member("pages", std::uint64_t(engine.pages));
  out.member("kv_bytes", report.kv_bytes).end_object();
  if (!report.machine_share) return;
  MachineShare const& share = *report.machine_share;
  out.key("machine_limit").begin_object().member("read_gb_per_s", rounded(share.read_gb_per_s));
  out.member("weights_gb_per_s", rounded(share.weights_gb_per_s)).member("share", rounded(share.share())).end_object();
}

void write_views(JsonText& out, std::vector<InstanceView> const& views) {
  out.key("each").begin_array();
  for (InstanceView const& view : views) {
    out.begin_object().member("role", role_name(view.role)).key("ranks").begin_array();
    for (int const rank : view.ranks) out.value(rank);
    out.end_array().member("lost", view.lost).member("pages", view.pages).member("prompt_tokens", view.prompt_tokens);
    out.member("cached_tokens", view.cached_tokens).member("generated_tokens", view.generated_tokens);
    out.member("busy_seconds", rounded(view.busy_seconds)).member("kv_in_bytes", view.kv_in_bytes);
    out.member("kv_out_bytes", view.kv_out_bytes).end_object();
  }
  out.end_array();
}

void write_losses(JsonText& out, BatchReport const& report) {
  out.key("instances").begin_object().member("planned", report.instances).member("lost", report.lost_instances);
  out.member("spares_taken", report.spares_taken).member("restarted_requests", report.restarted_requests);
  out.key("lost_ranks").begin_array();
  for (int const rank : report.lost_ranks) out.value(rank);
  out.end_array();
  if (!report.views.empty()) write_views(out, report.views);
  out.end_object();
}

void write_checkpoint(JsonText& out, CheckpointSummary const& summary) {
  CheckpointCounts const& counts = summary.counts;
  out.key("checkpoint").begin_object().member("loaded", summary.loaded_number);
  out.member("lost_parts", summary.lost_parts).member("restored_requests", counts.restored_requests);
  out.member("restored_tokens", counts.restored_tokens).member("restored_bytes", counts.restored_bytes);
  out.member("restore_seconds", rounded(double(counts.restore_us) * 1e-6));
  out.member("recomputed_tokens", counts.recomputed_tokens).member("damaged_pages", counts.damaged_pages);
  out.member("missing_pages", counts.missing_pages).member("written", counts.written).member("failed", counts.failed);
  out.member("written_bytes", counts.written_bytes).member("new_pages", counts.new_pages);
  out.member("kept_pages", counts.kept_pages).member("left_out_pages", counts.left_out_pages);
  out.member("cheaper_requests", counts.cheaper_requests).member("late_requests", counts.late_requests);
  out.member("write_seconds", rounded(double(counts.write_us) * 1e-6));
  out.member("seconds_spent_twice", rounded(summary.seconds_spent_twice)).end_object();
}

void write_flow(JsonText& out, char const* name, KvFlow const& flow) {
  out.key(name).begin_object().member("requests", flow.requests).member("pages", flow.pages);
  out.member("bytes", flow.bytes).member("seconds", double(flow.work_us) * 1e-6);
}

void write_kv(JsonText& out, KvReport const& kv) {
  out.key("kv").begin_object();
  write_flow(out, "shared", kv.shared);
  out.member("us_per_request", rounded(kv.shared.us_per_request())).end_object();
  write_flow(out, "copied", kv.copied);
  out.member("transport", kv.copying).member("gb_per_s", rounded(kv.copied.gb_per_s())).end_object();
  out.member("link_gb_per_s", rounded(kv.link_gb_per_s)).member("handoff_seconds", double(kv.handoff_us) * 1e-6);
  out.member("failed", kv.failed).member("without_kv", kv.without_kv).end_object();
}

std::string row(std::string const& name, std::string const& value) {
  return text("  ", name, std::string(name.size() < 22 ? 22 - name.size() : 1, ' '), value, "\n");
}

std::string latency_row(std::string const& name, LatencyHistogram const& histogram) {
  if (histogram.count() == 0) return {};
  std::string value;
  for (double const percent : percentiles) {
    char part[64];
    std::snprintf(part, sizeof part, "%sp%.0f %.1f ms", value.empty() ? "" : ", ", percent,
                  histogram.percentile_us(percent) / 1000);
    value += part;
  }
  return row(name, value);
}

std::string checkpoint_rows(CheckpointSummary const& summary) {
  CheckpointCounts const& counts = summary.counts;
  std::string rows;
  if (summary.loaded_number > 0)
    rows += row("restored",
                text(counts.restored_requests, " requests, ", counts.restored_tokens, " tokens (",
                     bytes_text(std::uint64_t(counts.restored_bytes)), " in ",
                     rounded(double(counts.restore_us) * 1e-6), " s); ", counts.recomputed_tokens,
                     " tokens computed again, at most ", rounded(summary.seconds_spent_twice), " s spent twice"));
  if (counts.damaged_pages + counts.missing_pages + summary.lost_parts > 0)
    rows += row("", text(counts.damaged_pages, " pages were damaged, ", counts.missing_pages, " missing, ",
                         summary.lost_parts, " files unreadable"));
  if (counts.cheaper_requests + counts.late_requests > 0)
    rows += row("", text("without their KV: ", counts.cheaper_requests, " requests that are cheaper computed again, ",
                         counts.late_requests, " for which there was no time"));
  if (counts.written + counts.failed > 0)
    rows += row("checkpoints", text(counts.written, " written (", bytes_text(std::uint64_t(counts.written_bytes)), ", ",
                                    counts.new_pages, " new pages) in ", rounded(double(counts.write_us) * 1e-6),
                                    " s, ", counts.failed, " failed"));
  return rows;
}

std::string requests_text(BatchReport const& report) {
  std::string value = text(report.counts.answered, " answered, ", report.counts.input_errors, " errors of the input");
  if (report.skipped > 0) value += text(", ", report.skipped, " answered before");
  if (report.counts.failures > 0) value += text(", ", report.counts.failures, " failed for good");
  if (report.run_errors > 0) value += text(", ", report.run_errors, " left for the next run");
  return value;
}

}  // namespace

std::string losses_text(BatchReport const& report) {
  std::string ranks;
  for (int const rank : report.lost_ranks) ranks += text(ranks.empty() ? "" : ", ", rank);
  if (ranks.empty()) return ranks;
  return text("rank ", ranks, " (", report.lost_instances, " of ", report.instances, " instances); ",
              report.spares_taken, " spares taken in, ", report.restarted_requests, " requests started again");
}

std::string kv_text(KvReport const& kv) {
  auto const amount = [](KvFlow const& flow) {
    return text(flow.requests, " requests, ", flow.pages, " pages, ", bytes_text(std::uint64_t(flow.bytes)), " by ");
  };
  std::vector<std::string> parts;
  if (kv.shared.requests > 0)
    parts.push_back(text(amount(kv.shared), "shared: not a byte was copied, ", std::llround(kv.shared.us_per_request()),
                         " us of work a request (copies would move at ", rounded(kv.link_gb_per_s), " GB/s)"));
  if (kv.copied.requests > 0)
    parts.push_back(text(amount(kv.copied), kv.copying, " at ", rounded(kv.copied.gb_per_s()), " GB/s, ",
                         kv.link_gb_per_s > 0 ? std::llround(100 * kv.copied.gb_per_s() / kv.link_gb_per_s) : 0,
                         " % of the ", rounded(kv.link_gb_per_s), " GB/s that MPI moves on this link"));
  if (kv.failed > 0) parts.push_back(text(kv.failed, " prompts were computed again"));
  if (parts.empty()) parts.push_back("none");
  std::string words = parts.front();
  for (std::size_t i = 1; i < parts.size(); ++i) words += "; " + parts[i];
  return words;
}

std::string missing_kv(KvReport const& kv, std::int64_t continued_prompts) {
  if (continued_prompts == 0 || kv.shared.requests + kv.copied.requests > 0) return "";
  return text("no KV moved although prefill and decode are separate: ", continued_prompts,
              " prompts were computed twice; try --transport message");
}

std::string report_json(BatchReport const& report) {
  JsonText out;
  out.begin_object().member("status", report.status);
  write_counts(out, report);
  write_engine(out, report);
  write_losses(out, report);
  if (report.kv) write_kv(out, *report.kv);
  if (report.checkpoint) write_checkpoint(out, *report.checkpoint);
  out.member("allocations", report.allocations);
  if (report.time_limit_s) out.member("time_limit_seconds", rounded(*report.time_limit_s));
  out.key("model").begin_object().member("path", report.model_path).member("identity", report.model_identity);
  out.member("architecture", report.architecture).member("file_bytes", report.model_bytes);
  out.member("weight_bytes", report.weight_bytes);
  out.key("reads").begin_object().member("ranks", report.weight_reads.ranks);
  out.member("bytes", report.weight_reads.bytes).member("seconds", rounded(report.weight_reads.seconds));
  out.end_object().end_object();
  out.key("arithmetic").begin_array();
  for (std::string const& id : report.arithmetic) out.value(id);
  out.end_array().member("mixed_arithmetic", report.arithmetic.size() > 1);
  out.key("machine").begin_object().member("host", report.host).member("processor", report.processor);
  out.member("cores", report.cores).member("threads", report.threads);
  out.member("peak_resident_bytes", report.peak_resident_bytes).end_object();
  out.key("versions").begin_object().member("windlass", report.version).member("commit", report.commit);
  out.member("mpi", report.mpi_library).end_object();
  out.key("configuration").begin_object();
  for (auto const& [name, value] : report.configuration) out.member(name, value);
  out.end_object().end_object();
  return out.take() + "\n";
}

std::string report_table(BatchReport const& report) {
  BatchCounts const& counts = report.counts;
  std::int64_t const computed = counts.prompt_tokens - counts.cached_tokens;
  std::string table = row("status", report.status) + row("requests", requests_text(report));
  if (report.kv) table += row("KV handed over", kv_text(*report.kv));
  if (!report.lost_ranks.empty()) table += row("lost", losses_text(report));
  table += row("tokens", text(counts.prompt_tokens, " prompt (", counts.cached_tokens, " from cache), ",
                              counts.generated_tokens, " generated"));
  WeightReads const& reads = report.weight_reads;
  table += row("time", text(duration_text(report.seconds), " (", rounded(report.seconds), " s), loading ",
                            rounded(std::max(reads.seconds, report.load_seconds)), " s"));
  if (reads.ranks > 0)
    table += row("weights", text(bytes_text(reads.bytes), " read, by ", reads.ranks,
                                 reads.ranks == 1 ? " rank" : " ranks", ", in ", rounded(reads.seconds), " s"));
  table += row("speed", text(std::llround(per_second(computed, report.seconds)), " prompt tokens/s, ",
                             std::llround(per_second(counts.generated_tokens, report.seconds)), " generated tokens/s"));
  table += latency_row("time to first token", report.ttft) + latency_row("time per token", report.tpot);
  if (report.checkpoint) table += checkpoint_rows(*report.checkpoint);
  if (report.machine_share)
    table += row("machine's limit", text("weights read at ", rounded(report.machine_share->weights_gb_per_s), " of ",
                                         rounded(report.machine_share->read_gb_per_s), " GB/s"));
  if (report.peak_resident_bytes > 0)
    table += row("memory", text(bytes_text(report.peak_resident_bytes), " at most; weights ",
                                bytes_text(report.weight_bytes), ", KV cache up to ", bytes_text(report.kv_bytes)));
  table += row("arithmetic", report.arithmetic.empty() ? "" : report.arithmetic.back());
  if (report.arithmetic.size() > 1)
    table += row("", "mixed with that of earlier runs: bits may differ between answers");
  return table;
}

}  // namespace windlass
