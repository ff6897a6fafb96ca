#include "src/policy/multiplex_schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace windlass {
namespace {

bool wants_prefill(MultiplexQueue const& model) {
  return model.waiting_prompts > 0 && !model.prefill_runs && !model.waits_for_cache;
}

bool can_prefill(MultiplexQueue const& model, ShareLedger const& ledger) {
  return wants_prefill(model) && ledger.can_take(model.prefill_parts);
}

bool can_decode(MultiplexQueue const& model, ShareLedger const& ledger) {
  return model.decoding_sequences > 0 && !model.decode_runs && ledger.can_take(model.decode_parts);
}

class Schedule {
 public:
  explicit Schedule(MultiplexScheduleInput const& in) : in_(in), ledger_(in.ledger) {
    plan_ = {.jobs = {},
             .next_prefill = in.next_prefill,
             .next_decode = in.next_decode,
             .stop = MultiplexScheduleStop::nothing_ready};
  }

  MultiplexSchedulePlan run() {
    switch (in_.rule) {
      case SchedulingRule::prefill_first:
        prefill_first();
        break;
      case SchedulingRule::round_robin:
        round_robin();
        break;
      case SchedulingRule::first_come:
        first_come();
        break;
    }
    if (!plan_.jobs.empty()) plan_.stop = MultiplexScheduleStop::all_started;
    return std::move(plan_);
  }

 private:
  std::size_t count() const { return in_.models.size(); }

  void start(std::size_t model, JobPhase phase) {
    plan_.jobs.push_back({model, phase});
    bool const prefill = phase == JobPhase::prefill;
    ledger_.take(prefill ? in_.models[model].prefill_parts : in_.models[model].decode_parts);
    (prefill ? plan_.next_prefill : plan_.next_decode) = (model + 1) % count();
  }

  bool prefill_runs() const {
    return std::any_of(in_.models.begin(), in_.models.end(), [](auto const& model) { return model.prefill_runs; });
  }

  void prefill_first() {
    bool runs = prefill_runs();
    for (std::size_t i = 0; i < count(); ++i) {
      std::size_t const model = (in_.next_prefill + i) % count();
      if (!can_prefill(in_.models[model], ledger_)) continue;
      start(model, JobPhase::prefill);
      runs = true;
    }
    decode_in_turn(runs);
  }

  void round_robin() {
    bool runs = prefill_runs();
    for (std::size_t i = 0; i < count(); ++i) {
      std::size_t const model = (in_.next_prefill + i) % count();
      MultiplexQueue const& queue = in_.models[model];
      if (!wants_prefill(queue)) continue;
      if (!ledger_.can_take(queue.prefill_parts)) {
        plan_.next_prefill = model;
        break;
      }
      start(model, JobPhase::prefill);
      runs = true;
    }
    decode_in_turn(runs);
  }

  /// Decodes do not take the share that a prefill waits for while no prefill runs.
  void decode_in_turn(bool prefill_runs) {
    bool const ready = std::any_of(in_.models.begin(), in_.models.end(), [](auto const& model) {
      return model.waiting_prompts > 0 && !model.waits_for_cache;
    });
    if (!prefill_runs && ready) {
      plan_.stop = MultiplexScheduleStop::prefill_waits_for_share;
      return;
    }
    for (std::size_t i = 0; i < count(); ++i) {
      std::size_t const model = (in_.next_decode + i) % count();
      if (can_decode(in_.models[model], ledger_)) start(model, JobPhase::decode);
    }
  }

  /// Models by the arrival that `oldest` names, without those that have none.
  std::vector<std::size_t> by_age(Microseconds MultiplexQueue::*oldest) const {
    std::vector<std::size_t> order;
    for (std::size_t model = 0; model < count(); ++model)
      if (in_.models[model].*oldest != never_us) order.push_back(model);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return in_.models[a].*oldest < in_.models[b].*oldest; });
    return order;
  }

  void first_come() {
    auto const waiting = by_age(&MultiplexQueue::oldest_waiting_us),
               running = by_age(&MultiplexQueue::oldest_running_us);
    bool const lacks_cache = !running.empty() && in_.models[running.front()].waits_for_cache;
    if (!waiting.empty() && !prefill_runs() && !lacks_cache && wants_prefill(in_.models[waiting.front()])) {
      if (!ledger_.can_take(in_.models[waiting.front()].prefill_parts)) {
        plan_.stop = MultiplexScheduleStop::prefill_waits_for_share;
        return;
      }
      start(waiting.front(), JobPhase::prefill);
    }
    for (std::size_t const model : running) {
      if (in_.models[model].decode_runs) continue;
      if (!can_decode(in_.models[model], ledger_)) return;
      start(model, JobPhase::decode);
    }
  }

  MultiplexScheduleInput const& in_;
  ShareLedger ledger_;
  MultiplexSchedulePlan plan_;
};

constexpr double lends_below = 0.9, keeps_share = 0.95, growth = 0.1;

std::int64_t offered_blocks(QuotaUse const& model) {
  double const use = model.mean_batch / double(model.quota_sequences);
  if (use >= lends_below) return 0;
  double const sequences = std::max(1.0, (keeps_share - use) * double(model.quota_sequences));
  return std::int64_t(sequences) * model.blocks_per_sequence;
}

std::int64_t wanted_blocks(QuotaUse const& model) {
  double const demand = double(model.demand_sequences);
  bool const full = model.mean_batch / double(model.quota_sequences) >= lends_below;
  if (!full || demand < (1 + growth) * model.mean_batch) return 0;
  double const sequences = std::min(std::max(1.0, growth * model.mean_batch), demand - model.mean_batch);
  return std::int64_t(std::ceil(sequences)) * model.blocks_per_sequence;
}

}  // namespace

void ShareLedger::take(int parts) {
  int const from_free = std::min(parts, free_parts), from_single = parts - from_free;
  free_parts -= from_free;
  single_parts += from_free - from_single;
  overload_parts -= from_single;
}

MultiplexSchedulePlan plan_multiplex_schedule(MultiplexScheduleInput const& in) { return Schedule(in).run(); }

QuotaPlan plan_quota(QuotaInput const& in) {
  std::vector<std::int64_t> blocks, offers, wants;
  for (QuotaUse const& model : in.models) {
    blocks.push_back(model.quota_sequences * model.blocks_per_sequence);
    offers.push_back(offered_blocks(model));
    wants.push_back(wanted_blocks(model));
  }
  std::int64_t const offered = std::accumulate(offers.begin(), offers.end(), std::int64_t{0});
  std::int64_t const wanted = std::accumulate(wants.begin(), wants.end(), std::int64_t{0});
  std::int64_t const moved = std::min(offered, wanted);
  std::int64_t given = 0, taken = 0;
  for (std::size_t i = 0; i < blocks.size() && moved > 0; ++i) {
    std::int64_t const gives = offers[i] * moved / offered, takes = wants[i] * moved / wanted;
    blocks[i] += takes - gives;
    given += gives;
    taken += takes;
  }
  QuotaPlan plan{.quota_sequences = {}, .left_blocks = given - taken, .stop = QuotaStop::adapted};
  if (offered == 0) plan.stop = QuotaStop::no_donor;
  if (wanted == 0) plan.stop = QuotaStop::no_taker;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    plan.quota_sequences.push_back(blocks[i] / in.models[i].blocks_per_sequence);
    plan.left_blocks += blocks[i] % in.models[i].blocks_per_sequence;
  }
  return plan;
}

}  // namespace windlass
