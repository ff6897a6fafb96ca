/// The routes: who may ask what, and who answers it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "src/api/api_keys.hpp"
#include "src/api/http.hpp"
#include "src/serve/online/completion_call.hpp"
#include "src/serve/online/engine_loop.hpp"
#include "src/serve/online/file_routes.hpp"
#include "src/serve/online/served_model.hpp"
#include "src/serve/online/server_metrics.hpp"
#include "src/serve/online/work_queue.hpp"
#include "src/serve/openai_answer.hpp"

namespace windlass {

enum class MetricsAccess : std::uint8_t { with_key, open };

struct ApiServiceConfig {
  MetricsAccess metrics = MetricsAccess::with_key;
  std::string version;                                    ///< of the program
  AccountingLog* accounting = nullptr;                    ///< outlives the service; null: none is kept
  FileRoutes* files = nullptr;                            ///< the same; null: no files and batches
  std::size_t inline_body_bytes = std::size_t{16} << 10;  ///< longer requests are prepared on a thread of their own
};

/// Answers /health alone until a model is there. Safe from any thread.
class ApiService final : public HttpHandler {
 public:
  ApiService(ApiServiceConfig config, ApiKeys keys);

  /// From here on all routes answer. `model` must outlive this.
  void serve(ServedModel const& model) { model_ = &model; }
  /// How work gets back to a loop, and how many connections there are. Until then there is only /health.
  void connect(PostToLoop post, std::function<int()> connections);
  /// Posts nothing to loops any more. To be called before the server goes.
  void stop() { work_.stop(); }
  /// Other keys from here on; requests that run go on.
  void replace_keys(ApiKeys keys);

  /// What each user has had, as a JSON object for the run's report.
  std::string users_report() const { return metrics_.users_report(); }

  /// A request of a batch is over: it counts as its user's.
  void count_batch_request(std::string const& user, BatchRequestEnd const& end);

  std::optional<HttpResponse> refuse(HttpHead& head) override;
  void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override;

 private:
  struct Route;
  /// What is left to do on the thread of the request's loop.
  using Reply = std::function<void(std::shared_ptr<Exchange> const& exchange)>;

  static Route const* find_route(std::string_view path);
  Reply reply_to(Route const& route, HttpRequest const& request);
  Reply respond(Route const& route, HttpResponse response);

  // On any thread; they throw InputError where the request is wrong.
  Reply health(Route const& route, HttpRequest const& request);
  Reply version(Route const& route, HttpRequest const& request);
  Reply openapi(Route const& route, HttpRequest const& request);
  Reply metrics_text(Route const& route, HttpRequest const& request);
  Reply dashboard(Route const& route, HttpRequest const& request);
  Reply tokenizer_info(Route const& route, HttpRequest const& request);
  Reply models(Route const& route, HttpRequest const& request);
  Reply generate(Route const& route, HttpRequest const& request);
  Reply respond_to_input(Route const& route, HttpRequest const& request);
  Reply begin(Route const& route, HttpHead const& asked, BatchLine line, CompletionCall::MakeForm form);
  Reply tokenize(Route const& route, HttpRequest const& request);
  Reply detokenize(Route const& route, HttpRequest const& request);
  Reply embeddings(Route const& route, HttpRequest const& request);
  Reply files(Route const& route, HttpRequest const& request);
  std::optional<HttpResponse> refuse_stranger(HttpHead& head);
  RecordHead new_head();

  ApiServiceConfig const config_;
  std::mutex keys_mutex_;
  std::shared_ptr<ApiKeys const> keys_;
  UserAccounts accounts_;
  ServerMetrics metrics_;
  std::atomic<ServedModel const*> model_ = nullptr;
  PostToLoop post_;
  std::function<int()> connections_;
  std::uint64_t const id_seed_;
  std::atomic<std::uint64_t> next_id_ = 0;
  WorkQueue work_;
};

}  // namespace windlass
