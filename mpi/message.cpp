#include "mpi/message.hpp"

namespace windlass {

Inbox inbox_of(Tag tag) {
  switch (tag) {
    case Tag::hello:
    case Tag::answered:
    case Tag::streamed:
    case Tag::moved:
    case Tag::heartbeat:
    case Tag::rank_ended:
    case Tag::checkpoint_part:
    case Tag::traced:
      return Inbox::controller;
    case Tag::submit:
    case Tag::cancel:
    case Tag::handoff_offer:
    case Tag::pages_returned:
    case Tag::kv_event:
    case Tag::shutdown:
    case Tag::peer_lost:
    case Tag::take_role:
    case Tag::checkpoint_order:
      return Inbox::worker;
    case Tag::page_grant:
    case Tag::pages_sent:
    case Tag::handoff_end:
    case Tag::handoff_closed:
      return Inbox::exchange;
  }
  return Inbox::worker;
}

FrameHeader read_header(std::span<std::byte const> frame) {
  if (frame.size() < sizeof(FrameHeader)) throw WireError(text("a frame of ", frame.size(), " bytes has no header"));
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  if (header.magic != frame_magic) throw WireError("a frame of another program");
  if (header.version != frame_version)
    throw WireError(text("a frame of version ", header.version, ", this program has ", frame_version,
                         "; start one build of windlass on all hosts"));
  if (header.tag < Tag::hello || header.tag > last_tag)
    throw WireError(text("a frame of unknown tag ", std::uint32_t(header.tag)));
  std::uint64_t const body = frame.size() - sizeof header;
  if (header.fixed_bytes > body || header.tail_bytes != body - header.fixed_bytes)
    throw WireError(text("a frame of ", frame.size(), " bytes says ", header.fixed_bytes, " + ", header.tail_bytes));
  return header;
}

std::span<std::byte const> tail_of(std::span<std::byte const> frame) {
  return frame.subspan(sizeof(FrameHeader) + read_header(frame).fixed_bytes);
}

Bytes encode_frame(FrameHeader header, std::span<std::byte const> fixed, std::span<std::byte const> tail) {
  header.magic = frame_magic;
  header.version = frame_version;
  header.fixed_bytes = std::uint32_t(fixed.size());
  header.tail_bytes = tail.size();
  Bytes frame(sizeof header + fixed.size() + tail.size());
  std::memcpy(frame.data(), &header, sizeof header);
  std::memcpy(frame.data() + sizeof header, fixed.data(), fixed.size());
  if (!tail.empty()) std::memcpy(frame.data() + sizeof header + fixed.size(), tail.data(), tail.size());
  return frame;
}

}  // namespace windlass
