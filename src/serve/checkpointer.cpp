#include "src/serve/checkpointer.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/engine/forward_pass.hpp"
#include "src/kv/page_pool.hpp"
#include "src/serve/wire_request.hpp"

namespace windlass {
namespace {

constexpr int threads_at_once = 2;  ///< one sums while the other writes; a file takes no more
constexpr Microseconds serve_patience_us = 2'000;
constexpr Microseconds fixed_save_us = 300'000;  ///< for the tables and two syncs, however little there is

/// Sleeps so that no more than so many bytes a second are written, until somebody is in a hurry.
class RateLimit {
 public:
  RateLimit(std::uint64_t bytes_per_s, std::atomic<bool> const& hurry) : bytes_per_s_(bytes_per_s), hurry_(hurry) {}

  void wait(std::uint64_t bytes) {
    bytes_ += bytes;
    if (bytes_per_s_ == 0) return;
    Microseconds const due_us = begun_us_ + Microseconds(double(bytes_) / double(bytes_per_s_) * 1e6);
    constexpr Microseconds longest_us = 20'000;
    for (Microseconds now = now_us(); now < due_us && !hurry_; now = now_us())
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(due_us - now, longest_us)));
  }

 private:
  std::uint64_t bytes_per_s_, bytes_ = 0;
  std::atomic<bool> const& hurry_;
  Microseconds begun_us_ = now_us();
};

SavedChoice saved_choice(EngineSnapshot::InProgress const& request, EngineSnapshot::Choice const& choice) {
  SavedChoice saved{.choice = std::uint32_t(choice.progress.choice),
                    .prompt_tokens = std::uint32_t(request.request.prompt.size()),
                    .generated_tokens = std::uint32_t(choice.progress.tokens.size()),
                    .computed = std::uint32_t(choice.computed),
                    .tokens = request.request.prompt};
  saved.tokens.insert(saved.tokens.end(), choice.progress.tokens.begin(), choice.progress.tokens.end());
  return saved;
}

SavedRequest saved_request(EngineSnapshot::InProgress const& request, Hash128 name) {
  RequestProgress progress{
      .request = request.request, .answer = request.answer, .choices = {}, .unfinished = request.unfinished};
  SavedRequest saved{.name = name, .choices = {}, .progress = {}};
  for (EngineSnapshot::Choice const& choice : request.choices) {
    progress.choices.push_back(choice.progress);
    saved.choices.push_back(saved_choice(request, choice));
  }
  saved.progress = encode_progress(progress, now_us());
  return saved;
}

/// The same request from two parts: the one that is further.
std::uint64_t tokens_done(SavedRequest const& request) {
  std::uint64_t done = 0;
  for (SavedChoice const& choice : request.choices) done += choice.computed + std::uint64_t(choice.generated_tokens);
  return done;
}

}  // namespace

/// A checkpoint on its way to the disk.
struct Checkpointer::Writing {
  std::unique_ptr<EngineSnapshot> snapshot;  ///< pins the pages; goes on the engine's thread
  CheckpointContent content;
  Outcome outcome;
  Microseconds begun_us = now_us();
  CheckpointHaste haste = CheckpointHaste::background;
  std::atomic<bool> hurry = false, stop = false, over = false;
  std::jthread thread;  ///< last: it ends before what it uses
};

Hash128 request_name(Request const& request) {
  Request nameless = request;
  nameless.id = {};
  nameless.deltas = Deltas::off;
  return hash_bytes(encode_request(nameless), hash_text("windlass request 1"));
}

std::int64_t tokens_of(std::vector<SavedRequest> const& requests) {
  std::uint64_t tokens = 0;
  for (SavedRequest const& request : requests) tokens += tokens_done(request);
  return std::int64_t(tokens);
}

std::vector<CheckpointGroup> checkpoint_groups(Engine const& engine, ModelSpec const& spec) {
  std::vector<CheckpointGroup> groups;
  for (LayerGroup const& group : engine.groups()) {
    KvShape shape = group.pool->shape();
    shape.layers = layer_groups(spec).layers[groups.size()];
    shape.kv_heads = spec.kv_heads;
    groups.push_back({.layers = std::uint32_t(shape.layers),
                      .kv_heads = std::uint32_t(shape.kv_heads),
                      .head_dim = std::uint32_t(shape.head_dim),
                      .window_tokens = std::uint32_t(group.window_tokens),
                      .page_bytes = shape.page_bytes()});
  }
  return groups;
}

Checkpointer::Checkpointer(Engine& engine, CheckpointFolder& folder, CheckpointIdentity identity,
                           CheckpointerConfig config)
    : engine_(engine), folder_(folder), identity_(std::move(identity)), config_(std::move(config)) {
  if (config_.staging != nullptr) whole_ = std::make_unique<WholePages>(*config_.staging);
}

Checkpointer::~Checkpointer() {
  if (!writing_) return;
  writing_->stop = writing_->hurry = true;
  if (whole_) whole_->stop();
}

void Checkpointer::take(LoadedCheckpoint loaded) {
  std::map<Hash128, std::size_t> first_part;  // a request occurs in one part alone, or its older copies are dropped
  for (std::size_t i = 0; i < loaded.parts.size(); ++i) {
    for (SavedBlock const& block : loaded.parts[i].blocks)
      if (archived_.try_emplace(block.name, block).second) archive_order_.push_back(block.name);
    for (SavedRequest& request : loaded.parts[i].requests) {
      auto const [at, is_new] = first_part.try_emplace(request.name, i);
      auto const known = saved_.find(request.name);
      if (!is_new && at->second != i && known != saved_.end()) {
        if (tokens_done(request) > tokens_done(known->second)) known->second = std::move(request);
        continue;
      }
      saved_.emplace(request.name, std::move(request));
    }
  }
}

void Checkpointer::submit(Request request) {
  if (saved_.empty() && archived_.empty()) return engine_.submit(std::move(request));
  Hash128 const name = request_name(request);
  FolderArchive archive(
      {.folder = folder_, .groups = identity_.groups, .blocks = archived_, .whole = whole_.get(), .request = name},
      counts_);
  auto const at = saved_.find(name);
  auto saved = at == saved_.end() ? decltype(saved_)::node_type() : saved_.extract(at);
  try {
    if (!saved.empty()) {
      RequestProgress progress = decode_progress(saved.mapped().progress, now_us());
      std::vector<SavedChoice> const& choices = saved.mapped().choices;
      if (request_name(progress.request) != name || choices.size() != progress.choices.size())
        throw FileError("another request lies under its name");
      SavedProgress back{.request = request, .answer = std::move(progress.answer), .unfinished = progress.unfinished};
      for (std::size_t i = 0; i < choices.size(); ++i) {
        bool const possible = progress.choices[i].tokens.size() + request.prompt.size() > choices[i].computed;
        back.choices.push_back(
            {.progress = std::move(progress.choices[i]), .computed = possible ? int(choices[i].computed) : 0});
      }
      auto const tokens = engine_.restore(std::move(back), archive);
      ++counts_.restored_requests;
      counts_.restored_tokens += tokens.restored;
      counts_.recomputed_tokens += tokens.recomputed;
      return;
    }
  } catch (std::exception const& error) {
    log_warning(text("a request in the checkpoint cannot be read and is computed again: ", error.what()));
  }
  auto const tokens = engine_.restore_prefix(request, archive);
  counts_.restored_tokens += tokens.restored;
  counts_.recomputed_tokens += tokens.recomputed;
  engine_.submit(std::move(request));
}

void Checkpointer::forget(Request const& request) {
  if (auto const at = saved_.find(request_name(request)); at != saved_.end()) saved_.erase(at);
}

std::uint64_t Checkpointer::bytes_of_block() const {
  std::uint64_t bytes = 0;
  for (CheckpointGroup const& group : identity_.groups) bytes += group.page_bytes;
  return bytes;
}

Microseconds Checkpointer::save_us() {
  std::int64_t const tokens = engine_.counters().held_tokens;
  if (tokens == 0) return 0;
  double const bytes = double(tokens) / block_tokens * double(bytes_of_block());
  return fixed_save_us + Microseconds(bytes / folder_.measured_write_bytes_per_us());
}

/// What becomes of each request in progress at the end of a job.
std::vector<SaveChoice> Checkpointer::choose(EngineSnapshot const& snapshot, Microseconds time_us) {
  std::vector<UnfinishedWork> work;
  for (EngineSnapshot::InProgress const& request : snapshot.requests) {
    UnfinishedWork& own = work.emplace_back();
    for (EngineSnapshot::Choice const& choice : request.choices) {
      own.computed_tokens += choice.computed;
      own.bytes += (choice.names.size() + 1) * bytes_of_block();
      own.new_bytes += bytes_of_block();
      for (Hash128 const name : choice.names)
        if (!folder_.has(name_of(0, name))) own.new_bytes += bytes_of_block();
    }
  }
  EngineCounters const engine = engine_.counters();
  double const tokens = double(engine.prompt_tokens + engine.generated_tokens);
  bool const has_read = counts_.restore_us > 0 && counts_.restored_bytes > 0;
  SaveInput const in{.work = work,
                     .time_us = time_us,
                     .write_bytes_per_us = folder_.measured_write_bytes_per_us(),
                     .read_bytes_per_us = has_read ? double(counts_.restored_bytes) / double(counts_.restore_us) : 0,
                     .compute_tokens_per_us = engine.busy_us > 0 ? tokens / double(engine.busy_us) : 0};
  auto plan = plan_save(in);
  if (config_.plan_log != nullptr) config_.plan_log->add(in, plan);
  for (SaveChoice const choice : plan.choices) {
    counts_.cheaper_requests += choice == SaveChoice::recompute_is_cheaper;
    counts_.late_requests += choice == SaveChoice::no_time;
  }
  return std::move(plan.choices);
}

/// `choices` [requests of the snapshot]: those that are not saved keep their tokens alone.
CheckpointContent Checkpointer::content_of(EngineSnapshot const& snapshot,
                                           std::vector<SaveChoice> const& choices) const {
  CheckpointContent content;
  std::set<PageName> names;
  std::set<Hash128> wanted, unwanted;  // blocks
  for (std::size_t i = 0; i < choices.size(); ++i)
    for (EngineSnapshot::Choice const& choice : snapshot.requests[i].choices)
      (choices[i] == SaveChoice::save ? wanted : unwanted).insert(choice.names.begin(), choice.names.end());
  auto const add_page = [&](PageToSave const& page) {
    if (names.insert(page.name).second) content.pages.push_back(page);
  };
  for (std::size_t i = 0; i < snapshot.requests.size(); ++i) {
    EngineSnapshot::InProgress const& request = snapshot.requests[i];
    Hash128 const name = request_name(request.request);
    content.requests.push_back(saved_request(request, name));
    if (choices[i] != SaveChoice::save) continue;
    for (EngineSnapshot::Choice const& choice : request.choices)
      for (std::size_t group = 0; group < snapshot.groups().size(); ++group)
        if (!choice.partial[group].empty())
          add_page({.name = name_of(int(group), partial_name(name, std::uint32_t(choice.progress.choice),
                                                             std::uint32_t(choice.computed))),
                    .bytes = choice.partial[group]});
  }
  for (EngineSnapshot::Block const& block : snapshot.blocks) {
    if (unwanted.contains(block.name) && !wanted.contains(block.name)) continue;
    content.blocks.push_back({.name = block.name, .parent = block.parent, .tokens = block.tokens});
    for (std::size_t group = 0; group < snapshot.groups().size(); ++group)
      if (block.pages[group])
        add_page(page_to_save(name_of(int(group), block.name), snapshot.groups()[group], *block.pages[group]));
  }
  if (config_.carries) carry_on(content);
  return content;
}

/// Whole pages are put together when the writing thread comes to them.
PageToSave Checkpointer::page_to_save(PageName const& name, LayerGroup const& group, PageId page) const {
  if (whole_) return {.name = name, .bytes = {}, .source = page};
  return {.name = name, .bytes = group.pool->bytes(page)};
}

/// What was loaded and not asked for yet, by reference to the pages that are on disk.
void Checkpointer::carry_on(CheckpointContent& content) const {
  std::set<PageName> names;
  for (PageToSave const& page : content.pages) names.insert(page.name);
  std::set<Hash128> blocks;
  for (SavedBlock const& block : content.blocks) blocks.insert(block.name);
  auto const refer = [&](Hash128 name) {
    for (std::size_t group = 0; group < identity_.groups.size(); ++group)
      if (PageName const page = name_of(int(group), name); folder_.has(page) && names.insert(page).second)
        content.pages.push_back({.name = page, .bytes = {}});
  };
  for (auto const& [name, request] : saved_) {
    content.requests.push_back(request);
    for (SavedChoice const& choice : request.choices) refer(partial_name(name, choice.choice, choice.computed));
  }
  std::size_t const most_blocks = 2 * std::size_t(engine_.counters().pages);  // else the folder would grow for ever
  for (Hash128 const name : archive_order_) {
    if (content.blocks.size() >= most_blocks) break;
    refer(name);
    if (blocks.insert(name).second) content.blocks.push_back(archived_.at(name));
  }
}

bool Checkpointer::begin(std::uint64_t number, CheckpointHaste haste, Microseconds until_us) {
  if (writing_) return false;
  writing_ = std::make_unique<Writing>();
  writing_->snapshot = engine_.snapshot(travelling_ ? travelling_() : std::vector<DetachedRequest const*>());
  if (whole_) whole_->complete(*writing_->snapshot);
  std::vector<SaveChoice> choices(writing_->snapshot->requests.size(), SaveChoice::save);
  Microseconds const time_us = until_us == never_us ? never_us : std::max<Microseconds>(0, until_us - now_us());
  if (haste == CheckpointHaste::at_once) choices = choose(*writing_->snapshot, time_us);
  writing_->content = content_of(*writing_->snapshot, choices);
  if (time_us != never_us)
    writing_->content.most_new_bytes = std::uint64_t(double(time_us) * folder_.measured_write_bytes_per_us());
  writing_->outcome.number = number;
  writing_->haste = haste;
  writing_->thread = std::jthread([this, &writing = *writing_] { write(writing); });
  return true;
}

/// On the writing thread.
void Checkpointer::write(Writing& writing) {
  allow_this_thread(config_.cpus);
  bool const waits = writing.haste == CheckpointHaste::background;
  if (waits) put_this_thread_behind();
  RateLimit limit(waits ? config_.background_bytes_per_s : 0, writing.hurry);
  auto const pace = [&](std::uint64_t bytes) {
    limit.wait(bytes);
    return !writing.stop;
  };
  Outcome& outcome = writing.outcome;
  std::function<std::size_t(std::span<PageToSave>)> fetch;
  if (whole_) fetch = [this](std::span<PageToSave> pages) { return whole_->fetch(pages); };
  try {
    outcome.part = folder_.write(outcome.number, identity_, writing.content,
                                 {.pace = pace, .threads = waits || whole_ ? 1 : threads_at_once, .fetch = fetch});
    if (!outcome.part) outcome.problem = "it was stopped";
    if (outcome.part && config_.on_stored) config_.on_stored(outcome.number, *outcome.part);
  } catch (std::exception const& error) {
    outcome.problem = error.what();
  }
  writing.over = true;
}

std::optional<Checkpointer::Outcome> Checkpointer::finish() {
  writing_->thread.join();
  auto const writing = std::move(writing_);
  counts_.write_us += now_us() - writing->begun_us;
  Outcome outcome = std::move(writing->outcome);
  if (!outcome.problem.empty()) {
    ++counts_.failed;
    return outcome;
  }
  WrittenPart const& part = outcome.part->written;
  ++counts_.written;
  counts_.saved_tokens = tokens_of(writing->content.requests);
  counts_.written_bytes += std::int64_t(part.bytes);
  counts_.new_pages += std::int64_t(part.new_pages);
  counts_.kept_pages += std::int64_t(part.kept_pages);
  counts_.left_out_pages += std::int64_t(outcome.part->left_out_pages);
  return outcome;
}

std::optional<Checkpointer::Outcome> Checkpointer::poll() {
  if (writing_ && whole_ && !writing_->over) whole_->serve(0);
  if (!writing_ || !writing_->over) return std::nullopt;
  return finish();
}

std::optional<Checkpointer::Outcome> Checkpointer::wait() {
  if (!writing_) return std::nullopt;
  writing_->hurry = true;
  while (whole_ && !writing_->over) whole_->serve(serve_patience_us);
  return finish();
}

}  // namespace windlass
