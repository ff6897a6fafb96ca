// A request prefilled by one engine and decoded by another has the tokens of a request that stayed.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "src/kv/page_pool.hpp"
#include "tests/engine_fixtures.hpp"
#include "tests/equal_answers.hpp"

namespace windlass {
namespace {

using namespace testing_data;

class EngineHandoff : public testing::TestWithParam<char const*> {
 protected:
  std::unique_ptr<Engine> engine(AfterPrompt after_prompt, std::int64_t kv_bytes = std::int64_t{16} << 20) {
    EngineConfig config = runner_.config;
    config.after_prompt = after_prompt;
    config.kv_bytes = kv_bytes;
    config.chunk_tokens = 48;
    return std::make_unique<Engine>(runner_.model, config, runner_.operations, runner_.collective, runner_.team);
  }

  /// What a transport does: reserves, copies the pages' bytes, attaches. False where there is no room.
  static bool hand_over(DetachedRequest detached, Engine& from, Engine& to) {
    auto pages = to.reserve(detached.computed);
    if (!pages) return false;
    for (std::size_t group = 0; group < to.groups().size(); ++group)
      for (int block = pages->first_block(int(group)); block < pages->blocks(); ++block) {
        auto const source = from.groups()[group].pool->bytes(*detached.pages.block(block)[group]);
        auto const target = to.groups()[group].pool->bytes(*pages->block(block)[group]);
        std::memcpy(target.data(), source.data(), source.size());
      }
    detached.pages = std::move(*pages);
    to.attach(std::move(detached));
    return true;
  }

  /// Prefills in one engine and decodes in another; answers of both.
  std::map<RequestId, Answer> disaggregated(std::vector<Request> requests,
                                            std::int64_t prefill_kv_bytes = std::int64_t{16} << 20) {
    auto prefill = engine(AfterPrompt::hold, prefill_kv_bytes), decode = engine(AfterPrompt::decode);
    for (Request& request : requests) prefill->submit(std::move(request));
    std::map<RequestId, Answer> answers;
    auto const collect = [&](Engine& from) {
      for (Answer& answer : from.take_answers()) answers.emplace(answer.id, std::move(answer));
    };
    for (int steps = 0; answers.size() < requests.size() && steps < 1000; ++steps) {
      prefill->step();
      for (RequestId const held : prefill->take_held())
        EXPECT_TRUE(hand_over(prefill->detach(held).value(), *prefill, *decode));
      decode->step();
      collect(*prefill);
      collect(*decode);
    }
    EXPECT_TRUE(prefill->idle());
    EXPECT_TRUE(decode->idle());
    decode_counters_ = decode->counters();
    return answers;
  }

  std::vector<Request> requests() const {
    int const vocab = runner_.model.spec.vocab;
    std::vector<Request> all;
    for (int const tokens : {1, 5, 63, 64, 65, 200}) {
      Request request = testing_data::greedy_request(std::uint64_t(tokens), prompt_of(tokens, vocab), 9);
      request.sampling.temperature = tokens % 2 ? 0.8 : 0;
      request.sampling.seed = std::uint64_t(tokens);
      request.sampling.frequency_penalty = 0.5;
      request.sampling.logprobs = 2;
      if (tokens == 65) request.sampling.prompt_logprobs = 1;
      if (tokens == 200 || tokens == 64) request.choices = 3;
      all.push_back(std::move(request));
    }
    return all;
  }

  testing_data::Runner runner_{testing_data::reference_path(GetParam()), Precision::f32, operations("auto"), 1};
  EngineCounters decode_counters_;
};

TEST_P(EngineHandoff, TheAnswersAreThoseOfOneEngine) {
  auto const stayed = runner_.run(requests());

  auto const moved = disaggregated(requests());

  ASSERT_EQ(moved.size(), stayed.size());
  for (auto const& [id, answer] : moved) expect_equal(answer, stayed.at(id));
  EXPECT_EQ(decode_counters_.prompt_tokens, 0);  // nothing was computed twice
}

TEST_P(EngineHandoff, ChoicesThatFindNoRoomBesideThePromptDoNotHoldTheirRequestBack) {
  auto const stayed = runner_.run(requests());
  auto const any = engine(AfterPrompt::hold);
  std::size_t block_bytes = 0;
  for (LayerGroup const& group : any->groups()) block_bytes += group.pool->shape().page_bytes();

  auto const moved = disaggregated(requests(), std::int64_t(block_bytes) * 4);  // the longest takes all of it

  ASSERT_EQ(moved.size(), stayed.size());
  for (auto const& [id, answer] : moved) expect_equal(answer, stayed.at(id));
}

TEST_P(EngineHandoff, ARequestCanBeMovedAtAnyStep) {
  auto const stayed = runner_.run(requests());
  for (int const moved_after : {1, 3, 6}) {
    auto first = engine(AfterPrompt::decode), second = engine(AfterPrompt::decode);
    for (Request& request : requests()) first->submit(std::move(request));
    for (int step = 0; step < moved_after; ++step) first->step();
    for (Request const& request : requests()) {
      auto detached = first->detach(request.id);
      bool const arrived = !detached || hand_over(std::move(*detached), *first, *second);
      EXPECT_TRUE(arrived);
    }
    EXPECT_TRUE(first->idle());
    while (!second->idle()) second->step();
    auto answers = first->take_answers();
    for (Answer& answer : second->take_answers()) answers.push_back(std::move(answer));
    ASSERT_EQ(answers.size(), stayed.size());
    for (Answer const& answer : answers) expect_equal(answer, stayed.at(answer.id));
  }
}

TEST_P(EngineHandoff, PagesAreFreeAgainOnBothSides) {
  auto prefill = engine(AfterPrompt::hold), decode = engine(AfterPrompt::decode);
  prefill->submit(testing_data::greedy_request(1, prompt_of(100, runner_.model.spec.vocab), 3));
  while (prefill->take_held().empty() && !prefill->idle()) prefill->step();

  auto detached = prefill->detach(RequestId{1});
  ASSERT_TRUE(detached);
  ASSERT_TRUE(hand_over(std::move(*detached), *prefill, *decode));

  // What is left is the index's: one full block on either side, which anybody's need may evict.
  auto const all = prefill->counters().pages;
  EXPECT_TRUE(prefill->reserve(int(all) * block_tokens).has_value());
  while (!decode->idle()) decode->step();
  EXPECT_TRUE(decode->reserve(int(all) * block_tokens).has_value());
}

TEST_P(EngineHandoff, WithoutRoomNothingIsReserved) {
  auto decode = engine(AfterPrompt::decode);
  auto const pages = decode->counters().pages;

  auto all = decode->reserve(1);
  for (std::uint32_t page = 1; page < pages; ++page) EXPECT_TRUE(all->ensure_positions(int(page + 1) * block_tokens));
  EXPECT_FALSE(decode->reserve(1).has_value());
  all.reset();

  EXPECT_EQ(decode->counters().free_pages, pages);
}

TEST_P(EngineHandoff, AttachedRequestsThatDoNotFitTogetherAreFinishedOneAfterTheOther) {
  auto const stayed = runner_.run(requests());
  auto prefill = engine(AfterPrompt::hold);
  std::size_t block_bytes = 0;
  for (LayerGroup const& group : prefill->groups()) block_bytes += group.pool->shape().page_bytes();
  auto decode = engine(AfterPrompt::decode, std::int64_t(block_bytes) * 4);  // the longest takes all of it
  for (Request& request : requests()) prefill->submit(std::move(request));
  std::vector<RequestId> ready;
  std::map<RequestId, Answer> answers;
  while (!prefill->idle()) prefill->step();
  ready = prefill->take_held();
  for (int steps = 0; answers.size() < stayed.size() && steps < 1000; ++steps) {
    while (!ready.empty()) {
      if (!decode->reserve(int(number(ready.back())))) break;  // ids are lengths of prompts
      ASSERT_TRUE(hand_over(prefill->detach(ready.back()).value(), *prefill, *decode));
      ready.pop_back();
    }
    decode->step();
    for (Answer& answer : decode->take_answers()) answers.emplace(answer.id, std::move(answer));
  }

  ASSERT_EQ(answers.size(), stayed.size());
  for (auto const& [id, answer] : answers) expect_equal(answer, stayed.at(id));
}

std::string model_name(testing::TestParamInfo<char const*> const& info) {
  std::string name = info.param;
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, EngineHandoff, testing::Values("llama-gqa", "mistral-window128", "gemma2-softcaps"),
                         model_name);

TEST(SharedPagePools, BorrowedPagesAreReadInPlaceAndGivenBack) {
  PagePoolConfig config{.shape = {.layers = 1, .kv_heads = 1, .head_dim = 8}, .pages = 3};
  std::vector<std::byte> bytes(6 * config.shape.page_bytes());
  auto const memory = [&](std::uint32_t first) {
    return std::make_shared<PageMemory>(PageMemory{.base = bytes.data(), .all_pages = 6, .first_page = first});
  };
  config.memory = memory(0);
  PagePool lender(config);
  config.memory = memory(3);
  PagePool borrower(config);
  PageId const lent = lender.allocate().value();
  lender.bytes(lent)[0] = std::byte{7};

  borrower.borrow(lent);
  borrower.borrow(lent);

  EXPECT_EQ(borrower.bytes(lent)[0], std::byte{7});
  EXPECT_EQ(borrower.free_pages(), 3u);
  EXPECT_EQ(borrower.allocate(), PageId{3});
  borrower.release(lent);
  EXPECT_TRUE(borrower.take_returned().empty());
  borrower.release(lent);
  EXPECT_EQ(borrower.take_returned(), (std::vector<PagePool::Returned>{{.page = lent, .loans = 2}}));
  EXPECT_TRUE(borrower.take_returned().empty());
  EXPECT_EQ(lender.references(lent), 1u);
}

}  // namespace
}  // namespace windlass
