/// Every message between ranks: its tag, its fields, who sends it to whom.
///
/// On the wire a message is one frame: FrameHeader (32 bytes), the message's struct, then `tail_bytes` of what varies.
/// One MPI message carries all of it, so that no part can arrive without the others. Integers are those of the one
/// processor architecture of the job.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "mpi/wire.hpp"

namespace windlass {

/// One value, one message type, one direction.
enum class Tag : std::uint32_t {
  hello = 1,
  submit,
  cancel,
  answered,
  moved,
  heartbeat,
  handoff_offer,
  page_grant,
  pages_sent,
  handoff_end,
  handoff_closed,
  pages_returned,
  kv_event,
  shutdown,
  rank_ended,
  peer_lost,
  take_role,
  checkpoint_order,
  checkpoint_part,
  traced,
  streamed,
};
constexpr Tag last_tag = Tag::streamed;

/// Who on a rank gets a message.
enum class Inbox : std::uint8_t { controller, worker, exchange };
constexpr int inboxes = 3;
Inbox inbox_of(Tag tag);

/// No padding and no floats: both make equal values differ in bytes.
template <class M>
concept WireMessage = std::is_trivially_copyable_v<M> && std::has_unique_object_representations_v<M> && requires {
  { M::tag } -> std::convertible_to<Tag>;
};

/// Worker -> controller, once. Engines of one job must agree on all of it.
struct Hello {
  static constexpr Tag tag = Tag::hello;
  std::uint64_t model_low, model_high;            ///< identity of the model
  std::uint64_t arithmetic_low, arithmetic_high;  ///< hash of the arithmetic id
  bool operator==(Hello const&) const = default;
};
static_assert(WireMessage<Hello>);

/// Controller -> leader of an instance. Tail: the request.
struct Submit {
  static constexpr Tag tag = Tag::submit;
  std::uint64_t request, request_epoch;
  std::uint32_t decode_rank;  ///< leader of the instance that goes on after the prompt; the receiver itself: it does
  std::uint32_t reserved;
  bool operator==(Submit const&) const = default;
};
static_assert(WireMessage<Submit>);

/// Controller -> leader.
struct Cancel {
  static constexpr Tag tag = Tag::cancel;
  std::uint64_t request, request_epoch;
  bool operator==(Cancel const&) const = default;
};
static_assert(WireMessage<Cancel>);

/// Leader -> controller. Tail: the answer.
struct Answered {
  static constexpr Tag tag = Tag::answered;
  std::uint64_t request, request_epoch;
  bool operator==(Answered const&) const = default;
};
static_assert(WireMessage<Answered>);

/// Leader -> controller: tokens of requests whose answers are told as they come. Tail: `pieces` StreamedPieces.
struct Streamed {
  static constexpr Tag tag = Tag::streamed;
  std::uint64_t pieces;
  bool operator==(Streamed const&) const = default;
};
static_assert(WireMessage<Streamed>);

/// Prefill leader -> controller: a request has left for its decode instance, or its KV could not.
struct Moved {
  static constexpr Tag tag = Tag::moved;
  std::uint64_t request, request_epoch;
  std::uint64_t bytes, pages;  ///< pages = 0: it went without KV
  std::uint64_t microseconds;  ///< from the offer to the end
  std::uint64_t moving_us;     ///< of these, work: bytes on their way, or pages changing hands
  std::uint32_t decode_rank;
  std::uint32_t arrived;  ///< 1: the decode instance goes on with it; 0: it computes the prompt again
  std::uint32_t shared;   ///< 1: the pages changed hands, and no byte was copied
  std::uint32_t reserved;
  bool operator==(Moved const&) const = default;
};
static_assert(WireMessage<Moved>);

/// Counts of an engine since its start, and what it does now.
struct LoadSnapshot {
  std::uint64_t running = 0, waiting = 0, free_pages = 0, pages = 0;
  std::uint64_t steps = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0, preemptions = 0, busy_us = 0;
  bool operator==(LoadSnapshot const&) const = default;
};

/// Leader -> controller and controller -> leaders, at every interval, from the thread that owns MPI.
struct Heartbeat {
  static constexpr Tag tag = Tag::heartbeat;
  std::uint64_t beat;
  LoadSnapshot load;
  bool operator==(Heartbeat const&) const = default;
};
static_assert(WireMessage<Heartbeat>);

/// Which part of a model's KV a handoff carries.
struct KvPart {
  std::uint32_t first_layer, end_layer;  ///< of the model
  std::uint32_t first_head, end_head;    ///< KV heads
  bool operator==(KvPart const&) const = default;
};

/// Prefill leader -> decode leader. Tail: KvPageName per page, then the request with its progress.
struct HandoffOffer {
  static constexpr Tag tag = Tag::handoff_offer;
  std::uint64_t transfer;  ///< unique among the sender's
  std::uint64_t request, request_epoch;
  KvPart part;
  std::uint32_t pages, computed_tokens;
  std::uint32_t transport;  ///< TransportKind
  std::uint32_t reserved;
  bool operator==(HandoffOffer const&) const = default;
};
static_assert(WireMessage<HandoffOffer>);

/// Decode leader -> prefill leader: where the pages go. Tail: GrantedPage per offered page, in the offer's order.
struct PageGrant {
  static constexpr Tag tag = Tag::page_grant;
  std::uint64_t transfer;
  std::uint32_t pages, reserved;
  bool operator==(PageGrant const&) const = default;
};
static_assert(WireMessage<PageGrant>);

/// Prefill leader -> decode leader: every byte is under way or there. Tail: a u64 checksum per page.
struct PagesSent {
  static constexpr Tag tag = Tag::pages_sent;
  std::uint64_t transfer;
  std::uint32_t pages, reserved;
  bool operator==(PagesSent const&) const = default;
};
static_assert(WireMessage<PagesSent>);

/// Why a transfer ended.
enum class HandoffOutcome : std::uint32_t { arrived, refused, damaged, late, lost };
constexpr HandoffOutcome last_outcome = HandoffOutcome::lost;

/// Decode leader -> prefill leader: the sender's pages are its own again; it must stop writing.
struct HandoffEnd {
  static constexpr Tag tag = Tag::handoff_end;
  std::uint64_t transfer;
  HandoffOutcome outcome;
  std::uint32_t work_us;  ///< of the receiver, where pages changed hands without a copy
  bool operator==(HandoffEnd const&) const = default;
};
static_assert(WireMessage<HandoffEnd>);

/// Prefill leader -> decode leader, after an end other than `arrived`: nothing more will be written.
struct HandoffClosed {
  static constexpr Tag tag = Tag::handoff_closed;
  std::uint64_t transfer;
  bool operator==(HandoffClosed const&) const = default;
};
static_assert(WireMessage<HandoffClosed>);

/// Borrower -> lender. Tail: ReturnedLoan per page.
struct PagesReturned {
  static constexpr Tag tag = Tag::pages_returned;
  std::uint64_t pages;
  bool operator==(PagesReturned const&) const = default;
};
static_assert(WireMessage<PagesReturned>);

enum class KvEventKind : std::uint32_t {
  sent,      ///< the sender's side has ended: its pages may be freed
  received,  ///< the receiver's side has ended: with `arrived` the pages hold what was sent
  closed     ///< the sender of a transfer that did not arrive writes no more: the granted pages may be used again
};

/// Exchange -> worker of the same rank.
struct KvEvent {
  static constexpr Tag tag = Tag::kv_event;
  std::uint64_t transfer;
  std::uint64_t bytes, microseconds;
  std::uint64_t moving_us;  ///< see Moved
  std::uint64_t ended_us;   ///< on this rank's job clock
  std::uint32_t peer_rank;
  KvEventKind kind;
  HandoffOutcome outcome;
  std::uint32_t reserved;
  bool operator==(KvEvent const&) const = default;
};
static_assert(WireMessage<KvEvent>);

/// What is known about a rank that is given up.
enum class RankFate : std::uint32_t {
  ended,  ///< its process is gone: it writes nowhere any more
  silent  ///< nobody could see it end: what it was granted stays out of use
};

/// Process watch, or MPI library, of the controller's rank -> controller, on one rank.
struct RankEnded {
  static constexpr Tag tag = Tag::rank_ended;
  std::uint32_t rank;
  RankFate fate;
  bool operator==(RankEnded const&) const = default;
};
static_assert(WireMessage<RankEnded>);

/// Controller -> everybody: send it nothing, expect nothing of it.
struct PeerLost {
  static constexpr Tag tag = Tag::peer_lost;
  std::uint32_t rank;
  RankFate fate;
  bool operator==(PeerLost const&) const = default;
};
static_assert(WireMessage<PeerLost>);

/// Controller -> leader: what becomes of prompts from now on.
struct TakeRole {
  static constexpr Tag tag = Tag::take_role;
  std::uint64_t holds;  ///< 1: computed prompts are handed over (prefill); 0: they are decoded here
  bool operator==(TakeRole const&) const = default;
};
static_assert(WireMessage<TakeRole>);

/// Controller -> worker: what to do about checkpoints.
enum class CheckpointOrderKind : std::uint64_t {
  background,       ///< write a part beside the steps
  last,             ///< write one at once: the job ends
  forget_unclaimed  ///< no request will come any more; what nobody asked for is dropped
};
struct CheckpointOrder {
  static constexpr Tag tag = Tag::checkpoint_order;
  std::uint64_t number = 0;
  std::uint64_t time_us = 0;  ///< for writing; never_us: as long as it takes
  CheckpointOrderKind kind = CheckpointOrderKind::background;
  bool operator==(CheckpointOrder const&) const = default;
};
static_assert(WireMessage<CheckpointOrder>);

/// Worker -> controller. The tail: CheckpointCounts of this rank so far, and, where nothing was written, why.
struct CheckpointPart {
  static constexpr Tag tag = Tag::checkpoint_part;
  std::uint64_t number = 0;   ///< 0: counts alone
  std::uint64_t written = 0;  ///< 1: the part is on disk
  std::uint64_t digest = 0;   ///< of its file
  bool operator==(CheckpointPart const&) const = default;
};
static_assert(WireMessage<CheckpointPart>);

/// Every rank -> controller, with --trace. Tail: TraceSpan per span.
struct Traced {
  static constexpr Tag tag = Tag::traced;
  std::uint64_t spans;
  std::uint64_t last;  ///< 1: this rank does nothing any more
  bool operator==(Traced const&) const = default;
};
static_assert(WireMessage<Traced>);

/// Controller -> everybody: end the process.
struct Shutdown {
  static constexpr Tag tag = Tag::shutdown;
  std::uint32_t failed;      ///< 0: the work is done
  std::uint32_t lost_ranks;  ///< not 0: leave without MPI_Finalize, which would wait for them
  bool operator==(Shutdown const&) const = default;
};
static_assert(WireMessage<Shutdown>);

/// Elements of tails.
struct KvPageName {
  std::uint32_t group, block;  ///< layer group; block of the sequence
  std::uint32_t page;          ///< in the sender's pool
  std::uint32_t generation;
  bool operator==(KvPageName const&) const = default;
};
struct GrantedPage {
  std::uint32_t page, generation;  ///< page: those of the receiver's own pool before it
  bool operator==(GrantedPage const&) const = default;
};
struct ReturnedLoan {
  std::uint32_t group, page;
  std::uint64_t loans;  ///< that this ends
  bool operator==(ReturnedLoan const&) const = default;
};

enum class TraceSpanKind : std::uint32_t { step, wait, kv_sent, kv_lent, kv_received };
constexpr TraceSpanKind last_span_kind = TraceSpanKind::kv_received;
struct TraceSpan {
  std::uint64_t begin_us, duration_us;  ///< of the time of day (1970, UTC), which all hosts have
  std::uint64_t first, second;          ///< of a step: prompt tokens, generated ones; of KV: bytes, transfer
  TraceSpanKind kind;
  std::uint32_t third;  ///< of a step: sequences; of KV: the other rank
  bool operator==(TraceSpan const&) const = default;
};

struct FrameHeader {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t job_epoch;  ///< of the start of the job: frames of another one are dropped
  Tag tag;
  std::uint32_t fixed_bytes;
  std::uint64_t tail_bytes;
};
constexpr std::uint32_t frame_magic = 0x6c646e77, frame_version = 4;

using Bytes = std::vector<std::byte>;

/// The header of a frame whose lengths agree with `frame`. Throws WireError.
FrameHeader read_header(std::span<std::byte const> frame);

/// The part behind the struct. `frame` must have passed read_header.
std::span<std::byte const> tail_of(std::span<std::byte const> frame);

Bytes encode_frame(FrameHeader header, std::span<std::byte const> fixed, std::span<std::byte const> tail);

template <WireMessage M>
Bytes encode(M const& message, std::uint64_t job_epoch, std::span<std::byte const> tail = {}) {
  return encode_frame({.job_epoch = job_epoch, .tag = M::tag}, std::as_bytes(std::span(&message, 1)), tail);
}

/// Throws WireError where the frame is none, or of another message.
template <WireMessage M>
M decode(std::span<std::byte const> frame) {
  FrameHeader const header = read_header(frame);
  if (header.tag != M::tag || header.fixed_bytes != sizeof(M))
    throw WireError(text("message ", std::uint32_t(M::tag), ": got tag ", std::uint32_t(header.tag), " with ",
                         header.fixed_bytes, " bytes instead of ", sizeof(M)));
  M message;
  std::memcpy(&message, frame.data() + sizeof(FrameHeader), sizeof(M));
  return message;
}

/// The elements of a tail that is `count` of them and nothing else, or that begins with them (`rest` gets what
/// follows).
template <WireValue T>
std::vector<T> tail_elements(std::span<std::byte const> tail, std::size_t count,
                             std::span<std::byte const>* rest = nullptr) {
  bool const fits = count <= tail.size() / sizeof(T) && (rest != nullptr || tail.size() == count * sizeof(T));
  if (!fits) throw WireError(text("a tail of ", tail.size(), " bytes does not hold ", count, " x ", sizeof(T)));
  std::vector<T> elements(count);
  if (count > 0) std::memcpy(elements.data(), tail.data(), count * sizeof(T));
  if (rest != nullptr) *rest = tail.subspan(count * sizeof(T));
  return elements;
}

}  // namespace windlass
