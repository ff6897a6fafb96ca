#include "src/engine/follower.hpp"

#include "src/engine/engine_pools.hpp"
#include "src/engine/forward_pass.hpp"
#include "src/engine/page_mover.hpp"
#include "src/engine/step_message.hpp"

namespace windlass {

struct Follower::State {
  Collective& collective;
  std::vector<std::unique_ptr<PagePool>> pools;  // [groups]
  std::vector<LayerGroup> groups;
  ForwardPass forward;
  PageMover mover;
  Microseconds begun_us = 0;

  void move_pages(StepMessage const& message);
};

void Follower::State::move_pages(StepMessage const& message) {
  for (std::size_t group = 0; group < pools.size(); ++group) {
    PageMove const move{.group = group, .own = pools[group].get(), .own_pages = message.pages[group]};
    message.kind == StepKind::gather_pages ? mover.gather(move) : mover.scatter(move);
  }
}

Follower::Follower(Model const& model, EngineConfig const& config, Operations const& operations, Collective& collective,
                   ThreadTeam& team) {
  auto pools = make_pools(model, config, operations, collective);
  auto groups = make_groups(model, pools);
  state_ = std::unique_ptr<State>(new State{
      .collective = collective,
      .pools = std::move(pools),
      .groups = std::move(groups),
      .forward = ForwardPass(
          model, {.precision = config.precision, .operations = &operations, .team = &team, .collective = &collective},
          {.rows = config.chunk_tokens + config.max_sequences, .max_context = model.max_model_len}),
      .mover = PageMover(model.spec, collective)});
}

Follower::~Follower() = default;

FollowerStep Follower::step(Microseconds patience_us) {
  auto const bytes = state_->collective.await_announcement(patience_us);
  if (!bytes) return FollowerStep::nothing;
  state_->begun_us = now_us();
  StepMessage const message = decode_step(*bytes);
  if (message.kind == StepKind::end) return FollowerStep::ended;
  for (std::size_t group = 0; group < state_->pools.size(); ++group)
    state_->pools[group]->repeat(message.changes[group]);
  if (message.kind == StepKind::compute)
    state_->forward.run(message.batch, state_->groups, [](LogitBlock const&) {});
  else
    state_->move_pages(message);
  return FollowerStep::computed;
}

Microseconds Follower::begun_us() const { return state_->begun_us; }

std::span<LayerGroup const> Follower::groups() const { return state_->groups; }

}  // namespace windlass
