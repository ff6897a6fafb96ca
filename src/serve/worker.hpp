/// The loop of one instance: requests in, steps of its engine, answers and handoffs out.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "mpi/courier.hpp"
#include "mpi/kv_exchange.hpp"
#include "mpi/shared_pools.hpp"
#include "src/engine/engine.hpp"
#include "src/engine/kv_staging.hpp"
#include "src/serve/checkpointer.hpp"
#include "src/serve/page_loans.hpp"
#include "src/serve/trace.hpp"

namespace windlass {

struct WorkerConfig {
  int controller_rank = 0;
  Microseconds controller_silence_us = 20'000'000;  ///< after which the job is taken for lost
  Microseconds retry_us = 20'000;                   ///< before a handoff that found no room is offered again
  SharedPools const* shared = nullptr;              ///< where the engine's pages lie, if other ranks can use them there
  double most_lent_share = 0.75;                    ///< of the pages; beyond it KV is copied, not lent
  KvStaging* staging = nullptr;                     ///< of an instance of several ranks that hands KV over
  TraceRecorder* trace = nullptr;                   ///< gets what this rank does; null: nobody asks
};

enum class WorkerEnd : std::uint8_t { done, failed, controller_lost, instance_lost };

/// Everything must outlive it. One thread calls it.
class Worker {
 public:
  /// `exchange` is null where no instance hands KV to another.
  Worker(Engine& engine, Courier& courier, KvExchange* exchange, WorkerConfig const& config);

  /// Before run(): requests go through it, and it writes when the controller says so. It must outlive the run.
  void set_checkpointer(Checkpointer* checkpointer);
  /// Until the controller ends it. Throws InstanceBroken where another rank of the instance is lost.
  WorkerEnd run();
  /// Ranks that the controller has told to be lost.
  bool knows_of_losses() const { return !lost_ranks_.empty() || (shutdown_ && shutdown_->lost_ranks > 0); }

 private:
  struct Assignment {
    std::uint64_t epoch = 0;
    int decode_rank = 0;
    std::vector<std::uint32_t> told = {};  ///< [choices] tokens that the controller was sent, here or elsewhere
  };
  struct Outgoing {
    DetachedRequest detached;
    Assignment assignment;
    std::optional<SequencePages> staged;  ///< whole copies of the pages, where the engine's are parts
    bool lends = false;                   ///< the pages are lent, not copied
    SequencePages const& pages() const { return staged ? *staged : detached.pages; }
  };
  struct Incoming {
    std::optional<DetachedRequest> request;  ///< nothing after a failed transfer: the pages wait to be closed
    SequencePages pages;                     ///< that the sender may still write, after a failed transfer
    std::optional<SequencePages> staged;     ///< where the pages come whole, and the engine's are parts
    std::uint64_t epoch = 0;
  };
  struct ArrivedOffer {
    int from_rank = 0;
    HandoffOffer message;
    std::vector<KvPageName> names;
    DetachedRequest request;
    std::optional<SequencePages> staged;
    Microseconds since_us = 0;
  };
  struct Retry {
    Microseconds at_us = 0;
    Outgoing outgoing;
  };
  using TransferKey = std::pair<int, std::uint64_t>;  // sender's rank, number

  void take_messages();
  void take(Envelope const& envelope);
  void submit(Envelope const& envelope);
  void cancel(Envelope const& envelope);
  void drop(RequestId request, std::uint64_t epoch);
  void lose_peer(PeerLost const& message);
  bool is_wanted(RequestId request, std::uint64_t epoch) const;
  void take_offer(Envelope const& envelope);
  void take_event(KvEvent const& event);
  void finish_outgoing(KvEvent const& event);
  void finish_incoming(KvEvent const& event);
  void go_on_with(ArrivedOffer arrived);
  void decline(ArrivedOffer const& offer, HandoffOutcome outcome);
  void borrow(ArrivedOffer arrived);
  void grant(ArrivedOffer arrived);
  void give_back(int lender, std::vector<ReturnedLoan> const& loans);
  void return_loans();
  void hand_off_held();
  void retry_offers();
  void offer(Outgoing outgoing);
  bool can_lend(Outgoing const& outgoing) const;
  void tell_moved(Outgoing const& outgoing, KvEvent const& event);
  void send_answers();
  void send_deltas();
  void take_checkpoint_order(CheckpointOrder const& order);
  void tend_checkpoint();
  void tell_checkpoint(std::uint64_t number, std::optional<Checkpointer::Outcome> const& outcome);
  void tell_load();
  void compute(Microseconds turn_us);
  void send_trace();
  /// Those whose pages go from instance to instance.
  std::span<LayerGroup const> whole_groups() const {
    return config_.staging != nullptr ? config_.staging->groups() : engine_.groups();
  }

  Engine& engine_;
  Checkpointer* checkpointer_ = nullptr;
  bool rests_ = false;            ///< after the last checkpoint nothing is computed any more
  std::int64_t told_tokens_ = 0;  ///< of restored and recomputed ones
  Courier& courier_;
  KvExchange* exchange_;
  WorkerConfig config_;
  std::unordered_map<RequestId, Assignment> assignments_;
  std::unordered_map<RequestId, std::uint64_t> cancelled_;  ///< the last epoch that is not wanted any more
  std::set<int> lost_ranks_;
  PageLoans loans_;
  bool stepped_ = false;                        ///< the last turn computed something
  std::map<std::uint64_t, Outgoing> outgoing_;  // by transfer
  std::map<TransferKey, Incoming> incoming_;
  std::vector<Retry> retries_;
  std::optional<Shutdown> shutdown_;
  std::uint64_t next_transfer_ = 1;
};

}  // namespace windlass
