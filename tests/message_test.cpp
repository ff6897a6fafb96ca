// Frames, messages, requests on the wire; checksums; the failure detector.
#include "mpi/message.hpp"

#include <gtest/gtest.h>

#include <random>

#include "src/core/checksum.hpp"
#include "src/policy/failure_detector.hpp"
#include "src/serve/wire_request.hpp"

namespace windlass {
namespace {

Request some_request() {
  Request request{.id = RequestId{9}, .prompt = {TokenId{1}, TokenId{2}}, .choices = 2, .cache_salt = "salt"};
  request.sampling = {.temperature = 0.5, .logit_bias = {{TokenId{3}, -1.5}}, .seed = 7, .stop = {"a", "bc"}};
  request.sampling.logprobs = 0;
  return request;
}

DetachedRequest some_progress(std::span<LayerGroup const> groups) {
  DetachedRequest detached{.request = some_request(), .pages = SequencePages(groups)};
  detached.answer.id = RequestId{9};
  detached.answer.choices.resize(2);
  detached.answer.prompt_logprobs = {{.chosen = {TokenId{4}, -1.0f}, .top = {{TokenId{5}, -2.0f}}}};
  detached.answer.submitted_us = 1000;
  detached.choices = {{.choice = 1, .tokens = {TokenId{8}}, .logprobs = {{.chosen = {TokenId{8}, -0.5f}}}}};
  detached.unfinished = 1;
  return detached;
}

template <class Decode>
void expect_survives_damage(Bytes const& whole, Decode decode_bytes) {
  std::mt19937 random(11);
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes = whole;
    for (unsigned change = 0; change < 1 + random() % 3; ++change)
      bytes[random() % bytes.size()] = std::byte(random() % 3 ? random() : 0xff);
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      decode_bytes(bytes);
    } catch (WireError const&) {
    }
  }
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes)
    EXPECT_THROW(decode_bytes(Bytes(whole.begin(), whole.begin() + std::ptrdiff_t(bytes))), WireError) << bytes;
}

TEST(WireRequest, PiecesOfStreamsTravelAndSurviveDamage) {
  StreamedPiece piece{.request_epoch = 3, .first_token = 7, .delta = {}};
  piece.delta = {.id = RequestId{9}, .choice = 1, .tokens = {TokenId{4}}, .text = "x", .finish = FinishReason::stop};
  piece.delta.logprobs = {{.chosen = {TokenId{4}, -1.0f}, .top = {{TokenId{5}, -2.0f}}}};
  std::vector<StreamedPiece> const pieces = {piece, {.request_epoch = 4, .first_token = 0, .delta = {}}};

  auto const bytes = encode_pieces(pieces);
  auto const back = decode_pieces(bytes, 2);

  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[0].first_token, 7u);
  EXPECT_EQ(back[0].delta.text, "x");
  EXPECT_EQ(back[0].delta.finish, FinishReason::stop);
  EXPECT_EQ(back[0].delta.logprobs[0].top[0].logprob, -2.0f);
  EXPECT_EQ(back[1].delta.finish, std::nullopt);
  expect_survives_damage(bytes, [](Bytes const& damaged) { decode_pieces(damaged, 2); });
  EXPECT_THROW(decode_pieces(bytes, 1), WireError);
}

TEST(Message, TravelsWithItsTail) {
  PageGrant const grant{.transfer = 5, .pages = 2};
  GrantedPage const pages[] = {{.page = 3, .generation = 1}, {.page = 9, .generation = 4}};

  Bytes const frame = encode(grant, 42, std::as_bytes(std::span(pages)));

  EXPECT_EQ(read_header(frame).job_epoch, 42u);
  EXPECT_EQ(decode<PageGrant>(frame), grant);
  EXPECT_EQ(tail_elements<GrantedPage>(tail_of(frame), 2), (std::vector<GrantedPage>{pages[0], pages[1]}));
  EXPECT_THROW(decode<PagesSent>(frame), WireError);
  EXPECT_THROW(tail_elements<GrantedPage>(tail_of(frame), 1), WireError);
}

TEST(Message, DamagedFramesAreRefusedOrReadButNeverCrash) {
  std::vector<std::uint64_t> const sums = {1, 2, 3};
  expect_survives_damage(encode(PagesSent{.transfer = 1, .pages = 3}, 1, std::as_bytes(std::span(sums))),
                         [](Bytes const& bytes) {
                           auto const message = decode<PagesSent>(bytes);
                           tail_elements<std::uint64_t>(tail_of(bytes), message.pages);
                         });
}

TEST(WireRequest, TravelsUnchanged) {
  Request const request = some_request();

  Request const read = decode_request(encode_request(request));

  EXPECT_EQ(encode_request(read), encode_request(request));
  EXPECT_EQ(read.sampling.stop, request.sampling.stop);
  EXPECT_EQ(read.sampling.logprobs, 0);
  EXPECT_FALSE(read.sampling.prompt_logprobs.has_value());
}

TEST(WireRequest, ProgressTravelsWithTimesMovedToTheReadersClock) {
  LayerGroup const group;
  auto const detached = some_progress(std::span(&group, 1));

  auto const read = decode_progress(encode_progress(detached, 1500), 900);

  EXPECT_EQ(read.choices.at(0).tokens, detached.choices[0].tokens);
  EXPECT_EQ(read.answer.submitted_us, 400);  // 500 us ago
  EXPECT_EQ(read.answer.first_token_us, 0);  // has not come
  EXPECT_EQ(read.unfinished, 1);
}

TEST(WireRequest, DamagedBytesAreRefusedOrReadButNeverCrash) {
  LayerGroup const group;
  expect_survives_damage(encode_request(some_request()), [](Bytes const& bytes) { decode_request(bytes); });
  expect_survives_damage(encode_progress(some_progress(std::span(&group, 1)), 0),
                         [](Bytes const& bytes) { decode_progress(bytes, 0); });
}

TEST(Checksum, SeesEveryBitItsPlaceAndTheSalt) {
  std::mt19937_64 random(1);
  std::vector<std::byte> bytes(4096 + 24);
  for (std::byte& byte : bytes) byte = std::byte(random());
  auto const right = checksum(bytes, 5);

  EXPECT_NE(checksum(bytes, 6), right);
  EXPECT_NE(checksum(std::span(bytes).first(bytes.size() - 1), 5), right);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= std::byte(1 << (bit % 8));
    ASSERT_NE(checksum(bytes, 5), right) << bit;
    bytes[bit / 8] ^= std::byte(1 << (bit % 8));
  }
  for (std::size_t i = 64; i + 64 <= bytes.size(); i += 64) {
    std::swap_ranges(bytes.begin(), bytes.begin() + 64, bytes.begin() + std::ptrdiff_t(i));
    ASSERT_NE(checksum(bytes, 5), right) << i;
    std::swap_ranges(bytes.begin(), bytes.begin() + 64, bytes.begin() + std::ptrdiff_t(i));
  }
  RunningChecksum running(5);
  running.add(std::span(bytes).first(1024));
  running.add(std::span(bytes).subspan(1024, 2048));
  running.add(std::span(bytes).subspan(3072));
  EXPECT_EQ(running.result(), right);
  std::vector<std::byte> const zeros(128);
  EXPECT_NE(checksum(zeros, 5), checksum(std::span(zeros).first(64), 5));
}

TEST(FailureDetector, ARankIsLostAfterItsSilence) {
  Microseconds const heard[] = {20'000'000, 9'900'000};

  auto const plan = plan_failures({.now_us = 20'000'000, .last_look_us = 19'900'000, .heard_us = heard});

  EXPECT_EQ(plan.lost, std::vector<std::size_t>{1});
}

TEST(FailureDetector, WhoStoodStillItselfJudgesNobodyBeforeAWholeSilence) {
  Microseconds const heard[] = {1'000'000};
  FailureInput in{.now_us = 61'000'000, .last_look_us = 1'000'000, .heard_us = heard};

  auto const first = plan_failures(in);
  in.last_look_us = in.now_us;
  in.now_us += 900'000;
  in.grace_until_us = first.grace_until_us;
  auto const second = plan_failures(in);
  in.last_look_us = 70'900'000;
  in.now_us = 71'100'000;
  in.grace_until_us = second.grace_until_us;
  auto const third = plan_failures(in);

  EXPECT_TRUE(first.lost.empty());
  EXPECT_TRUE(second.lost.empty());
  EXPECT_EQ(third.lost.size(), 1u);  // it had its time and stayed silent
}

}  // namespace
}  // namespace windlass
