/// The life of one request for text: from its fields to its last byte.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "src/api/http.hpp"
#include "src/serve/online/accounting_log.hpp"
#include "src/serve/online/answer_form.hpp"
#include "src/serve/online/engine_loop.hpp"
#include "src/serve/online/served_model.hpp"

namespace windlass {

struct CallParts {
  ServedModel const& model;
  ServerMetrics& metrics;
  std::shared_ptr<Exchange> exchange;
  std::unique_ptr<UserAccounts::Visit> visit;
  std::string route;  ///< for the metrics
  std::string user;
  Microseconds arrived_us = 0;
  Microseconds deadline_us = never_us;
  AccountingLog* accounting = nullptr;  ///< null: none is kept
};

/// All calls on the thread of the exchange's loop. Kept alive by the engine loop while it has news to come.
class CompletionCall final : public AnswerListener, public std::enable_shared_from_this<CompletionCall> {
 public:
  using MakeForm = std::function<std::unique_ptr<AnswerForm>(RecordHead const& head, ApiRequest const& request)>;
  CompletionCall(CallParts parts, std::shared_ptr<ApiRequest const> request, RecordHead head, MakeForm const& form);

  /// Hands the prompts to the engine; answers 429 or 503 where it takes none.
  void start();

  int loop() const override { return loop_; }
  void on_delta(ChoiceDelta delta) override;
  void on_answer(Answer answer) override;

 private:
  std::size_t prompt_of(RequestId id) const { return std::size_t(number(id) - number(ticket_.first)); }
  void send(std::string_view event);
  void fail(Answer const& answer);
  void finish();
  void end();
  void count_finished();
  void account(AccountingEntry entry) const;

  CallParts parts_;
  std::shared_ptr<ApiRequest const> request_;
  RecordHead head_;
  int loop_;
  EngineLoop::Ticket ticket_;
  std::vector<Answer> answers_;  ///< [prompts]
  std::size_t missing_;
  std::unique_ptr<AnswerForm> form_;
  EventSink send_;
  bool streaming_ = false;  ///< events have begun
  bool over_ = false;
  std::int64_t streamed_tokens_ = 0;
};

/// The response to a request that the engine did not take.
HttpResponse refused_submission(EngineLoop::Ticket const& ticket);

}  // namespace windlass
