// What a batch says of itself while it runs.
#include "src/serve/progress.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

TEST(Progress, TellsShareSpeedAndTimeLeft) {
  BatchProgress const progress{.seconds = 10,
                               .records = 30,
                               .skipped = 5,
                               .tokens = 15200,
                               .finished_bytes = 300,
                               .skipped_bytes = 100,
                               .total_bytes = 1000};

  EXPECT_EQ(progress_text(progress), "30 answered (and 5 before), 40 % of the input, 1520 tokens/s, about 20 s left");
}

TEST(Progress, SaysNothingOfTheEndOfAPipe) {
  EXPECT_EQ(progress_text({.seconds = 2, .records = 3, .tokens = 100}), "3 answered, 50 tokens/s");
  EXPECT_EQ(progress_bar({.seconds = 2, .records = 3, .tokens = 100}, 10), "3 answered, 50 tokens/s");
}

TEST(Progress, GivesEachInstanceALineWithItsSpeedSinceTheLastOne) {
  std::vector<InstanceView> const before{{.role = Role::prefill, .ranks = {0}, .prompt_tokens = 1000},
                                         {.role = Role::decode, .ranks = {1, 2}, .generated_tokens = 50}};
  std::vector<InstanceView> now = before;
  now[0].prompt_tokens = 4000;
  now[0].waiting = 7;
  now[0].kv_out_bytes = 3 << 20;
  now[1].generated_tokens = 250;
  now[1].running = 4;
  now[1].pages = 200;
  now[1].free_pages = 150;
  now[1].kv_in_bytes = 3 << 20;

  EXPECT_EQ(
      instance_lines(now, before, 2),
      (std::vector<std::string>{
          "instance 0 (prefill, rank 0): 0 running, 7 waiting, 1500 tokens/s, KV out 3.0 MiB",
          "instance 1 (decode, rank 1,2): 4 running, 0 waiting, 25 % of its pages, 100 tokens/s, KV in 3.0 MiB"}));
}

TEST(Progress, NamesLostInstancesAndShortensLongLists) {
  std::vector<InstanceView> const views(40, InstanceView{.ranks = {3}, .lost = true});

  auto const lines = instance_lines(views, {}, 1);

  ASSERT_EQ(lines.size(), 16u);
  EXPECT_EQ(lines[14], "instance 14 (mixed, rank 3): lost");
  EXPECT_EQ(lines[15], "and 25 more instances");
}

}  // namespace
}  // namespace windlass
