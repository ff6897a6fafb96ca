/// What an Engine holds; included by the engine's own sources only.
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "src/engine/engine.hpp"
#include "src/engine/forward_pass.hpp"
#include "src/engine/sampling.hpp"
#include "src/engine/sequence.hpp"
#include "src/grammar/token_constraint.hpp"
#include "src/kv/page_pool.hpp"
#include "src/kv/prefix_index.hpp"

namespace windlass {

/// What becomes of one row of logits.
struct LogitUse {
  Sequence* sequence = nullptr;
  int prompt_position = -1;  ///< >= 0: scores the prompt token at this position; else the row gives the next token
};

struct SampledToken {
  TokenId token{};
  std::optional<PositionLogprobs> logprobs;
  bool nothing_fits = false;  ///< no token goes on in the constraint
};

/// The batch of one step and what belongs to its rows.
struct StepWork {
  Batch batch;
  std::vector<std::pair<Sequence*, int>> parts;    ///< (sequence, new tokens), in the batch's order
  std::vector<LogitUse> uses;                      ///< [batch.logit_rows]
  std::vector<std::vector<SampledToken>> sampled;  ///< [uses][choices that start here]

  void clear();
};

/// What becomes of a wish for a page where none is free.
enum class WhenFull : std::uint8_t { evict, keep_all };

/// The first `positions` positions of a sequence, to be fetched from an archive.
struct PagesWanted {
  std::span<TokenId const> tokens;
  std::span<Hash128 const> names;  ///< of its full blocks
  int positions = 0;
  int choice = 0;  ///< of the request
  WhenFull when_full = WhenFull::evict;
};
struct PagePosition {
  std::size_t group = 0;
  int block = 0;
};
struct PagesFetched {
  SequencePages pages;
  PrefixCursor cursor;
  int positions = 0;  ///< that the pages hold
};

struct Engine::State {
  State(Model const& model, EngineConfig const& config, ForwardMachine const& machine);

  // engine.cpp
  void submit(Request request);
  std::string refusal(Request const& request);
  std::shared_ptr<RequestState> new_request(Request request);
  void answer_error(RequestId request, std::string message);
  void remove_cancelled();
  void finish(Sequence& sequence);

  // engine_admission.cpp
  void run(std::unique_ptr<Sequence> sequence);
  void wait_first(std::unique_ptr<Sequence> sequence);
  void wait_last(std::unique_ptr<Sequence> sequence);
  void admit();
  void take_prefix(Sequence& sequence);
  void give_back_pages(Sequence& sequence);
  std::unordered_set<Hash128> names_being_computed() const;
  bool make_room(Sequence& sequence, int positions);
  bool ensure_pages(Sequence& sequence, int positions);
  void preempt_last();

  // engine_handoff.cpp
  void hold_prefilled();
  void tell_all_held();
  void tell_held(RequestId request);
  std::optional<DetachedRequest> detach(RequestId request);
  std::optional<SequencePages> reserve(int positions);
  void attach(DetachedRequest detached);
  bool take_pages_of_waiting(std::size_t spared);

  // engine_snapshot.cpp
  std::unique_ptr<EngineSnapshot> snapshot(std::span<DetachedRequest const* const> travelling);
  /// A choice's tokens and pages, wherever they are.
  struct ComputedChoice {
    DetachedChoice progress;
    std::span<TokenId const> tokens;  // prompt and generated
    std::span<Hash128 const> names;
    int computed = 0;
    SequencePages const* pages = nullptr;
  };
  EngineSnapshot::Choice snapshot_of(ComputedChoice from, std::vector<EngineSnapshot::Block>& blocks) const;
  EngineSnapshot::InProgress snapshot_of(DetachedRequest const& request, std::vector<EngineSnapshot::Block>& blocks);
  RestoredTokens restore(SavedProgress saved, PageArchive& archive);
  RestoredTokens restore_prefix(Request const& request, PageArchive& archive);
  PagesFetched fetch(PagesWanted const& wanted, PageArchive& archive);
  bool read_pages(PagesWanted const& wanted, PageArchive& archive, int first, std::span<BlockPages> found);
  std::optional<PageId> page_for(std::size_t group, WhenFull when_full);
  static std::variant<PageArchive::Block, PageArchive::Partial> archived(PagesWanted const& wanted, int block);
  static PageArchive::Block archived_block(PagesWanted const& wanted, int block);

  // engine_step.cpp
  void step();
  void plan_work();
  void tell_followers();
  void add_to_batch(Sequence& sequence, int tokens);
  void sample_block(LogitBlock const& block);
  void sample_row(LogitBlock const& block, int row, SamplingScratch& scratch);
  void advance();
  void start_choices(Sequence& first, std::vector<SampledToken> const& tokens);
  void take_token(Sequence& sequence, SampledToken const& token);
  void index_blocks(Sequence& sequence);

  Model const& model;
  EngineConfig config;
  ThreadTeam& team;
  Collective& collective;
  std::vector<std::unique_ptr<PagePool>> pools;  // [groups]
  std::vector<LayerGroup> groups;
  PrefixIndex index;
  ConstraintCache constraints;
  ForwardPass forward;
  std::string identity;    // of the model, for block names
  std::string arithmetic;  // arithmetic id
  KvFormat kv;
  // Both by priority first.
  std::deque<std::unique_ptr<Sequence>> waiting;   // oldest first; preempted ones at the front
  std::vector<std::unique_ptr<Sequence>> running;  // in order of admission
  std::vector<std::unique_ptr<Sequence>> held;     // with AfterPrompt::hold: prefilled, not detached
  std::vector<RequestId> held_requests;            // of which take_held() has not told
  std::unordered_set<RequestId> told_held;         // of which it has, or will
  std::unordered_map<RequestId, std::weak_ptr<RequestState>> requests;
  std::vector<Answer> answers;
  std::vector<ChoiceDelta> deltas;
  std::vector<SamplingScratch> scratch;  // [threads]
  StepWork work;
  EngineCounters counts;
  std::uint64_t next_sequence = 1;
};

}  // namespace windlass
