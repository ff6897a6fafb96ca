#include "bench/workloads.hpp"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <random>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::bench {
namespace {

constexpr int first_ordinary_token = 64;
constexpr int shared_requests = 32, shared_tokens = 1024, own_tokens = 32, shared_new_tokens = 64;

}  // namespace

std::vector<TokenId> random_tokens(int count, std::uint64_t seed, int vocab) {
  std::mt19937_64 generator(seed);
  std::vector<TokenId> tokens(static_cast<std::size_t>(count));
  for (TokenId& token : tokens)
    token = TokenId(first_ordinary_token + generator() % std::uint64_t(vocab - first_ordinary_token));
  return tokens;
}

Request greedy_request(std::uint64_t id, std::vector<TokenId> prompt, int new_tokens) {
  Request request{.id = RequestId(id), .prompt = std::move(prompt)};
  request.sampling.temperature = 0;
  request.sampling.max_tokens = new_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

std::vector<Request> alike_requests(AlikeRequests const& wanted, int vocab) {
  std::vector<Request> requests;
  for (int i = 0; i < wanted.count; ++i)
    requests.push_back(greedy_request(std::uint64_t(i),
                                      random_tokens(wanted.context, 1000 * wanted.seed + std::uint64_t(i), vocab),
                                      wanted.new_tokens));
  return requests;
}

std::vector<Request> shared_prefix_requests(std::uint64_t seed, int vocab) {
  std::vector<TokenId> const head = random_tokens(shared_tokens, 1'000'000 + seed, vocab);
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < shared_requests; ++i) {
    std::vector<TokenId> prompt = head;
    for (TokenId token : random_tokens(own_tokens, 2'000'000 + 1000 * seed + i, vocab)) prompt.push_back(token);
    requests.push_back(greedy_request(i, std::move(prompt), shared_new_tokens));
  }
  return requests;
}

std::vector<Request> trace_requests(std::string const& path, int vocab) {
  std::ifstream lines(path);
  if (!lines) throw FileError(path, "open", errno);
  std::vector<Request> requests;
  std::string line;
  std::getline(lines, line);
  for (int number = 2; std::getline(lines, line); ++number) {
    int prompt = 0, made = 0;
    if (std::sscanf(line.c_str(), "%*[^,],%d,%d", &prompt, &made) != 2 || prompt < 1 || made < 1)
      throw InputError(text(path, ":", number, ": '", line, "' is not timestamp,prompt tokens,new tokens"));
    requests.push_back(
        greedy_request(requests.size(), random_tokens(prompt, 3'000'000 + requests.size(), vocab), made));
  }
  return requests;
}

}  // namespace windlass::bench
