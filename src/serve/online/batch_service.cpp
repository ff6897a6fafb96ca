#include "src/serve/online/batch_service.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>

#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/batch_job.hpp"
#include "src/serve/online/batch_results.hpp"
#include "src/store/atomic_file.hpp"
#include "src/store/journal.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view batch_prefix = "batch_", state_ending = ".json";
constexpr int attempts = 3;  ///< at requests that the engine failed at
constexpr auto pause_after_failure = std::chrono::seconds(2);

std::int64_t now_s() { return std::int64_t(std::time(nullptr)); }

/// Where the results of a batch lie: the same for every attempt, so that an end that is done twice leaves one.
std::string result_id(BatchState const& batch, char const* kind) {
  return "file-" + to_hex(hash_text(text(batch.id, ' ', kind)));
}

}  // namespace

BatchService::BatchService(BatchServiceConfig const& config, FileStore& files)
    : config_(config), files_(files), slots_(std::max(1, config.running_requests)) {
  read_folder();
  for (int i = 0; i < config_.running_batches; ++i) threads_.emplace_back([this] { work(); });
}

void BatchService::read_folder() {
  for (auto const& entry : fs::directory_iterator(files_.folder())) {
    std::string const name = entry.path().filename().string();
    bool const journal_side = name.find(".jsonl.") != std::string::npos;
    if (!name.starts_with(batch_prefix) || !name.ends_with(state_ending) || journal_side) continue;
    try {
      BatchState batch = parse_stored_batch(read_small_file(entry.path()).value_or(""));
      if (batch.id + std::string(state_ending) == name) batches_.emplace(batch.id, std::move(batch));
    } catch (std::exception const& error) {
      log_warning(text(entry.path().string(), " is no batch, and is passed over: ", error.what()));
    }
  }
}

void BatchService::start(BatchModel model) {
  std::lock_guard const lock(mutex_);
  model_ = std::move(model);
  changed_.notify_all();
}

void BatchService::stop() {
  {
    std::lock_guard const lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  threads_.clear();
}

bool BatchService::unfinished() const {
  std::lock_guard const lock(mutex_);
  return std::ranges::any_of(batches_, [](auto const& entry) { return !is_over(entry.second.status); });
}

BatchState BatchService::create(BatchState batch) {
  batch.id = random_id(std::string(batch_prefix));
  std::lock_guard const lock(mutex_);
  auto const open = std::ranges::count_if(
      batches_, [&](auto const& entry) { return entry.second.user == batch.user && !is_over(entry.second.status); });
  if (std::size_t(open) >= config_.max_user_batches)
    throw ApiError({.message = text("you have ", open, " batches that are not over; wait, or cancel some"),
                    .param = "",
                    .code = "too_many_batches",
                    .status = 429});
  replace_file(path(batch.id, ".json"), stored_batch_json(batch));
  batches_.emplace(batch.id, batch);
  changed_.notify_one();
  return batch;
}

std::optional<BatchState> BatchService::find(std::string const& user, std::string const& id) const {
  std::lock_guard const lock(mutex_);
  auto const at = batches_.find(id);
  if (at == batches_.end() || at->second.user != user) return std::nullopt;
  return at->second;
}

std::vector<BatchState> BatchService::list(std::string const& user) const {
  std::vector<BatchState> found;
  {
    std::lock_guard const lock(mutex_);
    for (auto const& [id, batch] : batches_)
      if (batch.user == user) found.push_back(batch);
  }
  std::ranges::stable_sort(found, {}, [](BatchState const& batch) { return batch.times.at("created_at"); });
  return found;
}

std::optional<BatchState> BatchService::cancel(std::string const& user, std::string const& id) {
  std::lock_guard const lock(mutex_);
  auto const at = batches_.find(id);
  if (at == batches_.end() || at->second.user != user) return std::nullopt;
  BatchState& batch = at->second;
  if (is_over(batch.status))
    throw ApiError({.message = text("the batch is ", status_name(batch.status), " already"),
                    .param = "batch_id",
                    .code = "batch_is_over"});
  if (batch.status != BatchStatus::finalizing) batch.enter(BatchStatus::cancelling, now_s());
  replace_file(path(id, ".json"), stored_batch_json(batch));
  changed_.notify_one();
  return batch;
}

BatchState BatchService::state(std::string const& id) const {
  std::lock_guard const lock(mutex_);
  return batches_.at(id);
}

/// Writes the state. A cancellation that came meanwhile stays.
void BatchService::keep(BatchState const& batch) {
  std::lock_guard const lock(mutex_);
  BatchState& known = batches_.at(batch.id);
  bool const cancelled = known.status == BatchStatus::cancelling && batch.status == BatchStatus::in_progress;
  auto const cancelling_at = known.times.find("cancelling_at");
  BatchState next = batch;
  if (cancelled) {
    next.status = BatchStatus::cancelling;
    next.times["cancelling_at"] = cancelling_at->second;
  }
  replace_file(path(batch.id, ".json"), stored_batch_json(next));
  known = std::move(next);
}

void BatchService::show_counts(std::string const& id, std::int64_t completed, std::int64_t failed) {
  std::lock_guard const lock(mutex_);
  batches_.at(id).completed = completed;
  batches_.at(id).failed = failed;
}

/// Cancelled, too late, or the server ends.
bool BatchService::ends_early(std::string const& id) const {
  std::lock_guard const lock(mutex_);
  BatchState const& batch = batches_.at(id);
  return stopping_ || batch.status == BatchStatus::cancelling || now_s() >= batch.times.at("expires_at") ||
         model_->served->engine->draining();
}

void BatchService::work() {
  while (auto const id = next_batch()) {
    try {
      run(*id);
    } catch (std::exception const& error) {
      log_warning_once(text(*id, " is tried again: ", error.what()));
      std::unique_lock lock(mutex_);  // a full disk, most likely
      changed_.wait_for(lock, pause_after_failure, [this] { return stopping_; });
    }
    std::lock_guard const lock(mutex_);
    running_.erase(*id);
    changed_.notify_one();
  }
}

/// The oldest batch of the user of whom the fewest run. Nothing at the end.
std::optional<std::string> BatchService::next_batch() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopping_) return std::nullopt;
    BatchState const* best = nullptr;
    std::pair<std::size_t, std::int64_t> best_rank;
    for (auto const& [id, batch] : batches_) {
      if (!model_ || is_over(batch.status) || running_.contains(id)) continue;
      auto const same_user = [&](auto const& entry) { return entry.second == batch.user; };
      std::pair const rank(std::size_t(std::ranges::count_if(running_, same_user)), batch.times.at("created_at"));
      if (!best || rank < best_rank) {
        best = &batch;
        best_rank = rank;
      }
    }
    if (best && !model_->served->engine->draining()) {
      running_.emplace(best->id, best->user);
      return best->id;
    }
    changed_.wait(lock);
  }
}

void BatchService::run(std::string const& id) {
  BatchState batch = state(id);
  auto const input = files_.find(batch.user, batch.input_file);
  std::string const input_path = files_.content_path(batch.input_file);
  try {
    if (batch.status == BatchStatus::validating) {
      if (!input) return fail(batch, text("the file ", batch.input_file, " was deleted"));
      if (!prepare(batch, input_path)) return;
      batch = state(id);
    }
    if (batch.status == BatchStatus::in_progress) {
      if (!input) return fail(batch, text("the file ", batch.input_file, " was deleted"));
      if (!answer(batch, input_path)) return;
    }
    finish(batch);
  } catch (InputError const& error) {
    fail(batch, error.what());
  }
}

/// Looks at the file as a whole. False where the batch is over thereby.
bool BatchService::prepare(BatchState& batch, std::string const& input) {
  BatchLines const lines = look_through(input, batch.endpoint);
  batch.total = lines.count;
  if (lines.count == 0) {
    fail(batch, "the file has no requests");
    return false;
  }
  if (lines.wrong_line > 0) {
    batch.problems = {
        {.code = "mismatched_endpoint",
         .message = text("the line's url is ", lines.wrong_url, ", the batch's endpoint ", batch.endpoint),
         .line = lines.wrong_line}};
    batch.enter(BatchStatus::failed, now_s());
    keep(batch);
    return false;
  }
  batch.enter(BatchStatus::in_progress, now_s());
  keep(batch);
  return true;
}

/// Runs the requests that have no record yet. False where they are left for the next server.
bool BatchService::answer(BatchState& batch, std::string const& input) {
  JournalIdentity identity = model_->identity;
  ContentHash const content = hash_of_file(input);
  identity.input_hash = content.hex;
  identity.input_bytes = content.bytes;
  identity.options["seed"] = text(batch.seed);
  RequestRules rules = model_->served->rules;
  rules.streaming = Streaming::refused;
  rules.job_seed = batch.seed;
  BatchEnd end = BatchEnd::again;
  for (int i = 0; i < attempts && end == BatchEnd::again && !ends_early(batch.id); ++i) {
    Journal journal({.path = path(batch.id, ".jsonl")});
    journal.begin(identity);
    auto const before = std::int64_t(journal.finished().size());
    BatchLedger ledger;
    BatchInput lines(open_input(input), rules, journal.finished(), {});
    AnswerWriter writer(journal.writer(), ledger, rules.tokenizer);
    LoopRunner runner({.engine = *model_->served->engine,
                       .slots = slots_,
                       .user = batch.user,
                       .on_end = [&](BatchRequestEnd const& done) { model_->on_end(batch.user, done); }});
    auto const ends = [&] { return ends_early(batch.id); };
    auto const count = [&] {
      BatchCounts const counts = ledger.counts();
      show_counts(batch.id, before + counts.answered, counts.input_errors + counts.failures);
    };
    BatchJob job({.runner = runner,
                  .input = lines,
                  .writer = writer,
                  .drain_wanted = ends,
                  .on_progress = count,
                  .limits = [&] { return ends() ? TimeLimits{.last_step_us = now_us()} : TimeLimits{}; }},
                 {.max_requests_running = config_.running_requests, .drain_us = 0, .job_seed = batch.seed});
    end = job.run();
    writer.close();
    count();
  }
  BatchState const now = state(batch.id);
  batch.completed = now.completed;
  batch.failed = now.failed;
  batch.status = now.status;
  batch.times = now.times;
  bool const over =
      end == BatchEnd::done || now.status == BatchStatus::cancelling || now_s() >= now.times.at("expires_at");
  if (!over && !ends_early(batch.id)) throw InputError("the engine failed at some requests again and again; ask again");
  return over;
}

/// Hands out the records, and ends the batch. What a crash in between leaves is done again.
void BatchService::finish(BatchState& batch) {
  bool const cancelled = batch.status == BatchStatus::cancelling || batch.times.contains("cancelling_at");
  if (!cancelled && batch.status != BatchStatus::finalizing) {
    batch.enter(BatchStatus::finalizing, now_s());
    keep(batch);
  }
  std::string const journal = path(batch.id, ".jsonl");
  if (fs::exists(journal)) {
    ResultPaths const parts{.answers = path(batch.id, ".answers"), .errors = path(batch.id, ".errors")};
    SplitJournal const counts = split_journal(journal, parts);
    batch.completed = counts.answered;
    batch.failed = counts.failed;
    auto const hand_out = [&](char const* kind, std::string const& from, std::int64_t records) {
      if (records == 0) {
        ::unlink(from.c_str());
        return std::string();
      }
      StoredFile const file{.id = result_id(batch, kind),
                            .user = batch.user,
                            .name = text(batch.id, "_", kind, ".jsonl"),
                            .purpose = "batch_output"};
      return files_.adopt(file, from).id;
    };
    batch.output_file = hand_out("output", parts.answers, counts.answered);
    batch.error_file = hand_out("error", parts.errors, counts.failed);
  }
  bool const complete = batch.completed + batch.failed >= batch.total;
  batch.enter(cancelled ? BatchStatus::cancelled : complete ? BatchStatus::completed : BatchStatus::expired, now_s());
  keep(batch);
  ::unlink(journal.c_str());
  ::unlink(side_path(journal).c_str());
}

void BatchService::fail(BatchState& batch, std::string const& message) {
  batch.problems = {{.code = "batch_failed", .message = message}};
  batch.enter(BatchStatus::failed, now_s());
  keep(batch);
}

}  // namespace windlass
