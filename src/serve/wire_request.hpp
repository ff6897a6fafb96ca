/// Requests and answers as bytes, between ranks. Times travel as "so long ago", since ranks' clocks start apart.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "src/core/clock.hpp"
#include "src/engine/handoff.hpp"

namespace windlass {

/// Every decode function throws WireError where the bytes are not what an encode function gives.
std::vector<std::byte> encode_request(Request const& request);
Request decode_request(std::span<std::byte const> bytes);

std::vector<std::byte> encode_answer(Answer const& answer, Microseconds now_us);
Answer decode_answer(std::span<std::byte const> bytes, Microseconds now_us);

/// A delta on its way to the controller. Deltas of one choice may overtake each other where instances change, and come
/// again where a request starts again.
struct StreamedPiece {
  std::uint64_t request_epoch = 0;
  std::uint32_t first_token = 0;  ///< index of its first token among those of its choice
  ChoiceDelta delta;
};
std::vector<std::byte> encode_pieces(std::span<StreamedPiece const> pieces);
std::vector<StreamedPiece> decode_pieces(std::span<std::byte const> bytes, std::size_t count);

/// A detached request without its pages: request, answer so far, unfinished choices.
struct RequestProgress {
  Request request;
  Answer answer;
  std::vector<DetachedChoice> choices;
  int unfinished = 0;
};
std::vector<std::byte> encode_progress(DetachedRequest const& detached, Microseconds now_us);
std::vector<std::byte> encode_progress(RequestProgress const& progress, Microseconds now_us);
RequestProgress decode_progress(std::span<std::byte const> bytes, Microseconds now_us);

}  // namespace windlass
