/// Figures of a load run: latencies, throughput, and how many requests met their limits.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "jobs/load_run.hpp"

namespace windlass {

/// Limits in ms that a request must meet to be good; "ttft", "tpot", "e2el".
using ServiceLevels = std::map<std::string, double>;

/// "ttft:200". Throws InputError naming the word.
ServiceLevels parse_service_levels(std::vector<std::string> const& words);

struct LatencyFigures {
  double mean = 0, deviation = 0, most = 0;
  std::vector<double> percentiles;  ///< [percents]
};

struct LoadFigures {
  std::int64_t asked = 0, completed = 0;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;  ///< of completed requests
  double seconds = 0;                                                    ///< from the begin to the last answer
  std::vector<double> percents;                                          ///< such as 50 and 99.9
  LatencyFigures ttft, tpot, itl, e2e, late;                             ///< ms; tpot of answers of two tokens and more
  ServiceLevels levels;
  std::map<std::string, double> attained;  ///< share of the requests asked that met each level; failed ones did not
  std::int64_t good = 0;                   ///< met all of them
  std::map<std::string, std::int64_t> errors;
};

LoadFigures figures_of(LoadResult const& result, std::vector<double> const& percents, ServiceLevels const& levels);

std::string load_table(LoadFigures const& figures);

/// What the report says about the run besides its figures; the names of vLLM's results where they mean the same.
struct LoadDescription {
  std::string model, base_url, endpoint, dataset, program;
  double request_rate = 0;  ///< infinite: all at once
  double burstiness = 1;
  int max_concurrency = 0;
  std::uint64_t seed = 0;
  enum class Detail : std::uint8_t { figures, every_request } detail = Detail::figures;
};
std::string load_json(LoadFigures const& figures, LoadDescription const& description, LoadResult const& result);

}  // namespace windlass
