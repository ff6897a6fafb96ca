/// Step times measured on a machine: the file, and what lies between the measurements.
#include "src/sim/measured_latency.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "jobs/profile_file.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

MeasuredProfile profile() {
  return {.model = "a model",
          .machine = "2 threads",
          .chunk_tokens = 512,
          .max_sequences = 16,
          .kv_tokens = 20'000,
          .prefill = {{1, 16, 10}, {1, 512, 300}},
          .ms_per_pair = 0.0001,
          .decode = {{1, 64, 4}, {1, 1024, 5}, {8, 64, 10}, {8, 1024, 20}},
          .beside = {{1, 1, 2}, {8, 1, 12}},
          .read_gb_per_s = 20,
          .gflops = 100};
}

double ms(StepWork const& work) { return double(MeasuredLatency(profile()).step_us(work, 0)) / 1000; }

TEST(MeasuredLatency, GivesTheMeasurementsBack) {
  EXPECT_NEAR(ms({.prompts = 1, .prompt_tokens = 512, .prompt_tokens_squared = 512.0 * 512}), 300, 0.01);
  EXPECT_NEAR(ms({.sequences = 8, .sequence_context = 8 * 1024}), 20, 0.01);
}

TEST(MeasuredLatency, ALaterChunkPaysForThePairsWithEarlierTokens) {
  double const squared = 1024.0 * 1024 - 512.0 * 512;  // positions 512 to 1,023

  EXPECT_NEAR(ms({.prompts = 1, .prompt_tokens = 512, .prompt_tokens_squared = squared}), 300 + 0.0001 * 512 * 512,
              0.01);
}

TEST(MeasuredLatency, SequencesBesideAChunkAddWhatWasMeasuredAndTheirContext) {
  StepWork const work{.prompts = 1,
                      .prompt_tokens = 512,
                      .prompt_tokens_squared = 512.0 * 512,
                      .sequences = 8,
                      .sequence_context = 8 * 1024};

  EXPECT_NEAR(ms(work), 300 + 12 + (20 - 10), 0.01);
}

TEST(ProfileFile, IsReadAsItWasWritten) {
  std::string const path = testing::TempDir() + "/windlass_profile.json";
  std::ofstream(path) << profile_json(profile());

  auto const read = read_profile(path);

  EXPECT_EQ(profile_json(read), profile_json(profile()));
  std::remove(path.c_str());
}

TEST(ProfileFile, AnotherKindOfFileIsRefusedByName) {
  std::string const path = testing::TempDir() + "/windlass_no_profile.json";
  std::ofstream(path) << "{\"kind\": \"report\"}";

  try {
    read_profile(path);
    FAIL();
  } catch (InputError const& error) {
    EXPECT_NE(std::string(error.what()).find("windlass-profile"), std::string::npos) << error.what();
  }
  std::remove(path.c_str());
}

}  // namespace
}  // namespace windlass
