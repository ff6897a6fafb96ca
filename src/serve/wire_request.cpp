#include "src/serve/wire_request.hpp"

#include "mpi/wire.hpp"

namespace windlass {
namespace {

constexpr std::uint32_t wire_version = 2;
constexpr std::uint64_t no_value = UINT64_MAX;

void put(WireWriter& out, std::optional<int> value) { out.put(value ? std::uint64_t(*value) : no_value); }

std::optional<int> get_optional(WireReader& in) {
  auto const value = in.get<std::uint64_t>();
  if (value == no_value) return std::nullopt;
  if (value > std::uint64_t(INT32_MAX)) throw WireError("request: a count is out of range");
  return int(value);
}

void put(WireWriter& out, PositionLogprobs const& position) {
  out.put(position.chosen.token);
  out.put(position.chosen.logprob);
  out.put(std::uint64_t(position.top.size()));
  for (TokenLogprob const& entry : position.top) {
    out.put(entry.token);
    out.put(entry.logprob);
  }
}

TokenLogprob get_logprob(WireReader& in) {
  auto const token = in.get<TokenId>();
  return {.token = token, .logprob = in.get<float>()};
}

void put(WireWriter& out, std::vector<PositionLogprobs> const& positions) {
  out.put(std::uint64_t(positions.size()));
  for (PositionLogprobs const& position : positions) put(out, position);
}

std::vector<PositionLogprobs> get_positions(WireReader& in) {
  std::vector<PositionLogprobs> positions(in.get_count(2 * sizeof(std::uint64_t)));
  for (PositionLogprobs& position : positions) {
    position.chosen = get_logprob(in);
    position.top.resize(in.get_count(sizeof(std::uint64_t)));
    for (TokenLogprob& entry : position.top) entry = get_logprob(in);
  }
  return positions;
}

void put(WireWriter& out, SamplingParameters const& s) {
  for (double const number :
       {s.temperature, s.top_p, s.min_p, s.presence_penalty, s.frequency_penalty, s.repetition_penalty})
    out.put(number);
  out.put(s.top_k);
  out.put(std::uint64_t(s.logit_bias.size()));
  for (auto const& [token, bias] : s.logit_bias) {
    out.put(token);
    out.put(bias);
  }
  out.put_all(s.allowed_token_ids);
  out.put(s.seed);
  out.put(s.max_tokens);
  out.put(s.min_tokens);
  out.put(std::uint64_t(s.stop.size()));
  for (std::string const& stop : s.stop) out.put_text(stop);
  out.put_all(s.stop_token_ids);
  put(out, s.logprobs);
  put(out, s.prompt_logprobs);
  out.put(s.prompt_logprobs_start);
  for (bool const flag : {s.include_stop_text, s.ignore_eos, s.skip_special_tokens}) out.put(std::uint8_t(flag));
  out.put(s.constraint.kind);
  out.put_text(s.constraint.source);
  out.put(s.constraint.spacing);
}

SamplingParameters get_sampling(WireReader& in) {
  SamplingParameters s;
  for (double* const number :
       {&s.temperature, &s.top_p, &s.min_p, &s.presence_penalty, &s.frequency_penalty, &s.repetition_penalty})
    *number = in.get<double>();
  s.top_k = in.get<int>();
  s.logit_bias.resize(in.get_count(sizeof(TokenId) + sizeof(double)));
  for (auto& [token, bias] : s.logit_bias) {
    token = in.get<TokenId>();
    bias = in.get<double>();
  }
  s.allowed_token_ids = in.get_all<TokenId>();
  s.seed = in.get<std::uint64_t>();
  s.max_tokens = in.get<int>();
  s.min_tokens = in.get<int>();
  s.stop.resize(in.get_count(sizeof(std::uint64_t)));
  for (std::string& stop : s.stop) stop = in.get_text();
  s.stop_token_ids = in.get_all<TokenId>();
  s.logprobs = get_optional(in);
  s.prompt_logprobs = get_optional(in);
  s.prompt_logprobs_start = in.get<int>();
  for (bool* const flag : {&s.include_stop_text, &s.ignore_eos, &s.skip_special_tokens})
    *flag = in.get<std::uint8_t>() != 0;
  s.constraint.kind = in.get_enum(Constraint::Kind::choice);
  s.constraint.source = in.get_text();
  s.constraint.spacing = in.get_enum(JsonSpacing::none);
  return s;
}

void put(WireWriter& out, Request const& request) {
  out.put(wire_version);
  out.put(request.id);
  out.put_all(request.prompt);
  put(out, request.sampling);
  out.put(request.choices);
  out.put_text(request.cache_salt);
  out.put(request.deltas);
  out.put(request.priority);
}

Request get_request(WireReader& in) {
  if (in.get<std::uint32_t>() != wire_version) throw WireError("request: of another version of windlass");
  Request request{.id = in.get<RequestId>(), .prompt = in.get_all<TokenId>()};
  request.sampling = get_sampling(in);
  request.choices = in.get<int>();
  request.cache_salt = in.get_text();
  request.deltas = in.get_enum(Deltas::on);
  request.priority = in.get<int>();
  return request;
}

/// 0 stays 0: it has not happened.
void put_time(WireWriter& out, Microseconds then_us, Microseconds now_us) {
  out.put(then_us == 0 ? Microseconds{-1} : std::max<Microseconds>(0, now_us - then_us));
}

Microseconds get_time(WireReader& in, Microseconds now_us) {
  auto const ago_us = in.get<Microseconds>();
  return ago_us < 0 || ago_us > now_us ? 0 : now_us - ago_us;
}

void put(WireWriter& out, Answer const& answer, Microseconds now_us) {
  out.put(answer.id);
  out.put(std::uint64_t(answer.choices.size()));
  for (Choice const& choice : answer.choices) {
    out.put_all(choice.tokens);
    out.put_text(choice.text);
    put(out, choice.logprobs);
    out.put(choice.finish);
  }
  put(out, answer.prompt_logprobs);
  out.put_text(answer.error);
  out.put(std::uint8_t(answer.error_is_input));
  out.put(answer.cached_tokens);
  for (Microseconds const then_us : {answer.submitted_us, answer.first_token_us, answer.finished_us})
    put_time(out, then_us, now_us);
}

Answer get_answer(WireReader& in, Microseconds now_us) {
  Answer answer{.id = in.get<RequestId>()};
  answer.choices.resize(in.get_count(3 * sizeof(std::uint64_t)));
  for (Choice& choice : answer.choices) {
    choice.tokens = in.get_all<TokenId>();
    choice.text = in.get_text();
    choice.logprobs = get_positions(in);
    choice.finish = in.get_enum(FinishReason::error);
  }
  answer.prompt_logprobs = get_positions(in);
  answer.error = in.get_text();
  answer.error_is_input = in.get<std::uint8_t>() != 0;
  answer.cached_tokens = in.get<int>();
  for (Microseconds* const then_us : {&answer.submitted_us, &answer.first_token_us, &answer.finished_us})
    *then_us = get_time(in, now_us);
  return answer;
}

/// `Progress` is a DetachedRequest or a RequestProgress.
template <class Progress>
std::vector<std::byte> bytes_of_progress(Progress const& progress, Microseconds now_us) {
  WireWriter out;
  put(out, progress.request);
  put(out, progress.answer, now_us);
  out.put(progress.unfinished);
  out.put(std::uint64_t(progress.choices.size()));
  for (DetachedChoice const& choice : progress.choices) {
    out.put(choice.choice);
    out.put_all(choice.tokens);
    put(out, choice.logprobs);
  }
  return out.take();
}

}  // namespace

std::vector<std::byte> encode_request(Request const& request) {
  WireWriter out;
  put(out, request);
  return out.take();
}

Request decode_request(std::span<std::byte const> bytes) {
  WireReader in(bytes, "request");
  Request request = get_request(in);
  in.expect_end();
  return request;
}

std::vector<std::byte> encode_answer(Answer const& answer, Microseconds now_us) {
  WireWriter out;
  put(out, answer, now_us);
  return out.take();
}

Answer decode_answer(std::span<std::byte const> bytes, Microseconds now_us) {
  WireReader in(bytes, "answer");
  Answer answer = get_answer(in, now_us);
  in.expect_end();
  return answer;
}

std::vector<std::byte> encode_pieces(std::span<StreamedPiece const> pieces) {
  WireWriter out;
  for (StreamedPiece const& piece : pieces) {
    ChoiceDelta const& delta = piece.delta;
    out.put(piece.request_epoch);
    out.put(piece.first_token);
    out.put(delta.id);
    out.put(delta.choice);
    out.put_all(delta.tokens);
    out.put_text(delta.text);
    put(out, delta.logprobs);
    put(out, delta.prompt_logprobs);
    out.put(std::uint8_t(delta.finish.has_value()));
    out.put(delta.finish.value_or(FinishReason::stop));
  }
  return out.take();
}

std::vector<StreamedPiece> decode_pieces(std::span<std::byte const> bytes, std::size_t count) {
  WireReader in(bytes, "pieces of streams");
  std::vector<StreamedPiece> pieces;
  for (std::size_t i = 0; i < count; ++i) {
    StreamedPiece piece{.request_epoch = in.get<std::uint64_t>(), .first_token = in.get<std::uint32_t>(), .delta = {}};
    piece.delta.id = in.get<RequestId>();
    piece.delta.choice = in.get<int>();
    piece.delta.tokens = in.get_all<TokenId>();
    piece.delta.text = in.get_text();
    piece.delta.logprobs = get_positions(in);
    piece.delta.prompt_logprobs = get_positions(in);
    bool const finished = in.get<std::uint8_t>() != 0;
    FinishReason const reason = in.get_enum(FinishReason::error);
    if (finished) piece.delta.finish = reason;
    pieces.push_back(std::move(piece));
  }
  in.expect_end();
  return pieces;
}

std::vector<std::byte> encode_progress(DetachedRequest const& detached, Microseconds now_us) {
  return bytes_of_progress(detached, now_us);
}

std::vector<std::byte> encode_progress(RequestProgress const& progress, Microseconds now_us) {
  return bytes_of_progress(progress, now_us);
}

RequestProgress decode_progress(std::span<std::byte const> bytes, Microseconds now_us) {
  WireReader in(bytes, "request in progress");
  RequestProgress progress{.request = get_request(in), .answer = get_answer(in, now_us)};
  progress.unfinished = in.get<int>();
  progress.choices.resize(in.get_count(2 * sizeof(std::uint64_t)));
  for (DetachedChoice& choice : progress.choices) {
    choice.choice = in.get<int>();
    choice.tokens = in.get_all<TokenId>();
    choice.logprobs = get_positions(in);
  }
  in.expect_end();
  int const choices = progress.request.choices;
  bool possible = progress.answer.choices.size() == std::size_t(choices) && !progress.choices.empty() &&
                  progress.unfinished >= int(progress.choices.size()) && progress.unfinished <= choices;
  for (DetachedChoice const& choice : progress.choices)
    possible = possible && choice.choice >= 0 && choice.choice < choices;
  if (!possible) throw WireError("request in progress: choices that it does not have");
  return progress;
}

}  // namespace windlass
