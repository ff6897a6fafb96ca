#include "jobs/sim_files.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "jobs/csv.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/sim/outcome.hpp"

namespace windlass {
namespace {

using Samples = std::map<double, std::vector<double>>;  ///< batch tokens -> times

StepCurve medians(Samples const& samples) {
  StepCurve curve;
  for (auto const& [tokens, times] : samples) {
    curve.tokens.push_back(tokens);
    curve.ms.push_back(percentile(times, 0.5));
  }
  return curve;
}

std::string list_of(std::set<std::string> const& names) {
  std::string all;
  for (std::string const& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

/// Microseconds since midnight of "2023-11-16 18:17:03.9799600".
double time_us(Table const& table, std::size_t row, std::size_t column) {
  std::string const& cell = table.rows[row][column];
  int hours = 0, minutes = 0;
  double seconds = 0;
  std::size_t const space = cell.find(' ');
  if (space == std::string::npos || std::sscanf(cell.c_str() + space, "%d:%d:%lf", &hours, &minutes, &seconds) != 3)
    throw InputError(text(table.path, ":", row + 2, ": TIMESTAMP holds \"", cell, "\", not a date and a time"));
  return ((hours * 60.0 + minutes) * 60.0 + seconds) * 1e6;
}

SimRequest request_of_line(boost::json::object const& line) {
  SimRequest request;
  request.arrival_us = std::llround(line.at("timestamp").to_number<double>() * 1000);
  request.lengths = {.prompt_tokens = line.at("input_length").to_number<std::int32_t>(),
                     .output_tokens = line.at("output_length").to_number<std::int32_t>()};
  if (auto const* hashes = line.if_contains("hash_ids"))
    for (auto const& hash : hashes->as_array()) request.block_hashes.push_back(hash.to_number<std::uint64_t>());
  return request;
}

}  // namespace

std::shared_ptr<TableLatency const> read_step_table(MeasuredSteps const& steps) {
  Table const table = read_csv(steps.path);
  auto const model = table.column("model"), hardware = table.column("hardware"), tp = table.column("tensor_parallel");
  auto const size = table.column("prompt_size"), batch = table.column("batch_size");
  auto const prompt = table.column("prompt_time"), token = table.column("token_time");
  Samples prompts, tokens;
  std::set<std::string> known;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    auto const& cells = table.rows[row];
    known.insert(cells[model] + " on " + cells[hardware] + " tp " + cells[tp]);
    if (cells[model] != steps.model || cells[hardware] != steps.hardware ||
        table.value(row, tp) != steps.tensor_parallel)
      continue;
    double const batch_tokens = table.value(row, size) * table.value(row, batch);
    prompts[batch_tokens].push_back(table.value(row, prompt));
    tokens[batch_tokens].push_back(table.value(row, token));
  }
  if (prompts.size() < 2)
    throw InputError(text(steps.path, ": has no times of ", steps.model, " on ", steps.hardware, " tp ",
                          steps.tensor_parallel, "; it has ", list_of(known)));
  return std::make_shared<TableLatency>(medians(prompts), medians(tokens));
}

LengthSampler read_azure_lengths(std::string const& path) {
  auto const trace = read_azure_trace(path);
  return [trace](RandomStream& random) {
    auto const prompt = trace[random.below(trace.size())].lengths.prompt_tokens;
    return TokenLengths{prompt, trace[random.below(trace.size())].lengths.output_tokens};
  };
}

Workload read_azure_trace(std::string const& path) {
  Table const table = read_csv(path);
  auto const time = table.column("TIMESTAMP"), prompt = table.column("ContextTokens"),
             output = table.column("GeneratedTokens");
  Workload workload(table.rows.size());
  if (workload.empty()) throw InputError(path + ": has no request");
  for (std::size_t row = 0; row < workload.size(); ++row) {
    workload[row].arrival_us = std::llround(time_us(table, row, time));
    workload[row].lengths = {.prompt_tokens = std::int32_t(table.value(row, prompt)),
                             .output_tokens = std::int32_t(table.value(row, output))};
  }
  Microseconds const first_us = workload.front().arrival_us;
  for (SimRequest& request : workload) request.arrival_us -= first_us;
  return workload;
}

std::map<std::string, MultiplexProfile> read_multiplex_profiles(std::string const& path) {
  Table const table = read_csv(path);
  auto const model = table.column("model"), gpus = table.column("num_gpus"), sm = table.column("sm_percent"),
             batch = table.column("batch_size"), tokens = table.column("sequence_length"),
             prefill = table.column("prefill_ms"), decode = table.column("decode_ms");
  std::map<std::string, MultiplexProfile> profiles;
  for (std::size_t row = 0; row < table.rows.size(); ++row)
    profiles[table.rows[row][model]][int(table.value(row, gpus))][int(table.value(row, sm))].push_back(
        {.batch = int(table.value(row, batch)),
         .tokens = int(table.value(row, tokens)),
         .prefill_s = table.value(row, prefill) / 1000,
         .decode_s = table.value(row, decode) / 1000});
  return profiles;
}

Workload read_mooncake_trace(std::string const& path) {
  std::ifstream file(path);
  if (!file) throw FileError(path, "open", errno);
  Workload workload;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    try {
      workload.push_back(request_of_line(boost::json::parse(line).as_object()));
    } catch (std::exception const&) {
      throw InputError(text(path, ":", number,
                            ": is no line of a Mooncake trace; allowed: {\"timestamp\": 0, \"input_length\": 700, "
                            "\"output_length\": 50, \"hash_ids\": [0, 1]}"));
    }
  }
  return workload;
}

}  // namespace windlass
