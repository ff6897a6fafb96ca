#include "src/serve/online/completion_call.hpp"

#include <algorithm>

#include "src/api/error_body.hpp"

namespace windlass {

HttpResponse refused_submission(EngineLoop::Ticket const& ticket) {
  if (ticket.submission == Submission::too_late)
    return retry_later(429,
                       {.message = "the request cannot be done within its 'deadline_ms'; try again later, or give it "
                                   "more time",
                        .param = "deadline_ms",
                        .code = "deadline_exceeded"},
                       int(std::max<Microseconds>(1, (ticket.retry_us + 999'999) / 1'000'000)));
  if (ticket.submission == Submission::queue_full)
    return retry_later(429,
                       {.message = "the server's queue is full; try again soon", .param = "", .code = "queue_full"}, 1);
  return retry_later(503, {.message = "the server is draining: it ends soon", .param = "", .code = "draining"}, 30);
}

CompletionCall::CompletionCall(CallParts parts, std::shared_ptr<ApiRequest const> request, RecordHead head,
                               MakeForm const& form)
    : parts_(std::move(parts)),
      request_(std::move(request)),
      head_(std::move(head)),
      loop_(parts_.exchange->loop()),
      answers_(request_->prompts.size()),
      missing_(request_->prompts.size()),
      form_(form(head_, *request_)),
      send_([this](std::string_view event) { send(event); }) {}

void CompletionCall::start() {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < request_->prompts.size(); ++i)
    requests.push_back(engine_request(*request_, i, head_.custom_id, parts_.model.rules.job_seed));
  if (!parts_.exchange->open()) return;  // the client left while its prompt was made
  ticket_ = parts_.model.engine->submit(std::move(requests), shared_from_this(),
                                        {.user = parts_.user, .deadline_us = parts_.deadline_us});
  if (ticket_.submission != Submission::accepted) {
    HttpResponse response = refused_submission(ticket_);
    parts_.metrics.count_response(parts_.route, response.status);
    return parts_.exchange->respond(std::move(response));
  }
  parts_.exchange->on_leave([self = shared_from_this()] {
    self->parts_.visit->use_tokens(std::int64_t(self->request_->prompt_tokens()) + self->streamed_tokens_);
    self->end();
    self->parts_.model.engine->cancel(self->ticket_);
    self->parts_.metrics.count_cancelled();
    self->account({.outcome = "cancelled", .generated_tokens = self->streamed_tokens_});
  });
}

void CompletionCall::send(std::string_view event) {
  if (event.empty()) return;
  if (!streaming_) parts_.exchange->begin_events();
  streaming_ = true;
  parts_.exchange->send_event(event);
}

void CompletionCall::on_delta(ChoiceDelta delta) {
  if (over_) return;
  streamed_tokens_ += std::int64_t(delta.tokens.size());
  form_->delta(prompt_of(delta.id), delta, send_);
}

void CompletionCall::on_answer(Answer answer) {
  if (over_) return;
  if (!answer.error.empty()) return fail(answer);
  std::size_t const prompt = prompt_of(answer.id);
  answers_[prompt] = std::move(answer);
  if (request_->stream) form_->prompt_done(prompt, answers_[prompt], send_);
  if (--missing_ == 0) finish();
}

/// One prompt failed: so has the request. A stream that has begun ends with an error event, never silently short.
void CompletionCall::fail(Answer const& answer) {
  end();
  parts_.model.engine->cancel(ticket_);
  bool const draining = parts_.model.engine->draining();
  bool const late = !answer.error_is_input && now_us() >= parts_.deadline_us;
  int const status = answer.error_is_input ? 400 : late ? 504 : draining ? 503 : 500;
  ErrorDetails const details{.message = answer.error,
                             .param = "",
                             .code = answer.error_is_input ? "invalid_value"
                                     : late                ? "deadline_exceeded"
                                     : draining            ? "draining"
                                                           : "engine_failed"};
  parts_.metrics.count_response(parts_.route, status);
  account({.outcome = late ? "late" : "failed", .generated_tokens = streamed_tokens_});
  if (!streaming_) return parts_.exchange->respond(error_response(status, details));
  parts_.exchange->send_event("{\"error\":" + error_object(status, details) + "}");
  parts_.exchange->end_events();
}

/// Nothing more is sent, and the user may begin another request.
void CompletionCall::end() {
  over_ = true;
  parts_.visit.reset();
}

void CompletionCall::finish() {
  if (request_->stream) {
    form_->all_done(answers_, send_);
    parts_.exchange->end_events();
  } else {
    parts_.exchange->respond({.body = form_->body(answers_)});
  }
  parts_.metrics.count_response(parts_.route, 200);
  count_finished();
  end();
}

void CompletionCall::count_finished() {
  FinishedRequest finished{.user = parts_.user, .prompt_tokens = std::int64_t(request_->prompt_tokens())};
  Microseconds first_us = never_us, last_us = 0;
  std::size_t longest = 0;
  for (Answer const& answer : answers_) {
    finished.cached_tokens += answer.cached_tokens;
    if (answer.first_token_us > 0) first_us = std::min(first_us, answer.first_token_us);
    last_us = std::max(last_us, answer.finished_us);
    for (Choice const& choice : answer.choices) {
      finished.generated_tokens += std::int64_t(choice.tokens.size());
      finished.finish_reasons.push_back(finish_reason_name(choice.finish));
      longest = std::max(longest, choice.tokens.size());
    }
  }
  finished.seconds = double(last_us - parts_.arrived_us) * 1e-6;
  if (first_us != never_us) {
    finished.first_token_seconds = double(first_us - parts_.arrived_us) * 1e-6;
    if (longest > 1) finished.token_seconds = double(last_us - first_us) * 1e-6 / double(longest - 1);
  }
  parts_.visit->use_tokens(finished.prompt_tokens + finished.generated_tokens);
  parts_.metrics.count_finished(finished);
  account({.cached_tokens = finished.cached_tokens,
           .generated_tokens = finished.generated_tokens,
           .seconds = finished.seconds,
           .first_token_seconds = finished.first_token_seconds});
}

/// Adds what is known of every call.
void CompletionCall::account(AccountingEntry entry) const {
  if (!parts_.accounting) return;
  entry.user = parts_.user;
  entry.route = parts_.route;
  entry.request_id = head_.custom_id;
  entry.prompt_tokens = std::int64_t(request_->prompt_tokens());
  if (entry.seconds == 0) entry.seconds = double(now_us() - parts_.arrived_us) * 1e-6;
  parts_.accounting->add(entry);
}

}  // namespace windlass
