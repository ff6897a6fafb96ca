/// P/D-Serve, section 5.7 (ii): a scheduler that estimates queues, and a gateway that asks who is idle.
#include "src/sim/gateway_cluster.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

Workload prompts(std::uint64_t seed) {
  auto const lengths = [](RandomStream& random) { return TokenLengths{std::int32_t(1 + random.exponential(1000)), 1}; };
  return make_workload({.requests = 8000, .arrivals = {.rate_per_s = 64}, .lengths = lengths, .seed = seed});
}

/// 8 instances of 100 ms a prompt in the mean: 80 % load.
GatewayReport run(GatewayRule rule, double error, std::uint64_t seed) {
  return simulate(GatewayCluster{.instances = 8,
                                 .base_us = 10'000,
                                 .us_per_token = 90,
                                 .rule = rule,
                                 .estimate_error = error,
                                 .report_every_us = 200'000,
                                 .ttft_limit_us = 1'000'000,
                                 .seed = seed},
                  prompts(seed));
}

std::int64_t timed_out(GatewayReport const& report) { return count_of(report.outcomes, RequestEnd::timed_out); }

TEST(PdServeTable57, EstimatedQueuesTimeOutWhereAskingDoesNot) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    auto const asking = run(GatewayRule::on_demand, 0, seed);
    for (double const error : {0.3, 0.6, 1.0}) {
      auto const estimating = run(GatewayRule::estimates, error, seed);
      EXPECT_GT(timed_out(estimating), 20 + 3 * timed_out(asking)) << error << ", seed " << seed;
      EXPECT_GT(estimating.wasted_us, asking.wasted_us);
    }
  }
}

TEST(PdServeTable57, AskingWastesNoPrefillAndEveryRequestEndsOnce) {
  auto const report = run(GatewayRule::on_demand, 0, 1);

  EXPECT_EQ(report.wasted_us, 0);
  EXPECT_EQ(timed_out(report) + count_of(report.outcomes, RequestEnd::completed), 8000);
  EXPECT_GE(report.asked, 8000);
}

TEST(PdServeTable57, FreshAndExactEstimatesAreAsGoodAsAsking) {
  GatewayCluster exact{.instances = 8, .base_us = 10'000, .us_per_token = 90, .rule = GatewayRule::estimates};

  auto const report = simulate(exact, prompts(1));

  EXPECT_LE(timed_out(report), timed_out(run(GatewayRule::on_demand, 0, 1)) + 20);
}

}  // namespace
}  // namespace windlass
