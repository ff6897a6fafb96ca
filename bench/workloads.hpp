/// The requests of the benchmarks: token ids from fixed seeds, greedy, the end of a text ignored, so that every run and
/// every program does the same amount of work.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/engine/request.hpp"

namespace windlass::bench {

/// `count` ids, each at least 64 (below are control tokens) and below `vocab`; the same for the same seed everywhere.
std::vector<TokenId> random_tokens(int count, std::uint64_t seed, int vocab);

Request greedy_request(std::uint64_t id, std::vector<TokenId> prompt, int new_tokens);

/// `count` requests of `context` prompt tokens and `new_tokens` more each, no two alike.
struct AlikeRequests {
  int count = 1, context = 1, new_tokens = 1;
  std::uint64_t seed = 0;
};
std::vector<Request> alike_requests(AlikeRequests const& wanted, int vocab);

/// 32 requests that share their first 1,024 tokens, with 32 own ones and 64 to make.
std::vector<Request> shared_prefix_requests(std::uint64_t seed, int vocab);

/// One request for each row "timestamp,prompt tokens,new tokens" of a trace below its line of titles. Throws FileError
/// or InputError naming file and line.
std::vector<Request> trace_requests(std::string const& path, int vocab);

}  // namespace windlass::bench
