/// The endpoint from socket to engine loop: whatever the bytes, the server answers in HTTP or closes the connection,
/// and a well-behaved neighbour gets the same answer as ever.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "jobs/private_folder.hpp"
#include "src/api/http_server.hpp"
#include "src/core/error.hpp"
#include "src/serve/online/api_service.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

constexpr char const* key = "fuzz-fuzz-fuzz-fuzz";
constexpr int turns_between_neighbours = 64;

/// "ab" for every choice, a letter a step.
class QuickRunner final : public RequestRunner {
 public:
  void submit(Request request) override { open_.push_back(std::move(request)); }
  void cancel(RequestId request) override {
    std::erase_if(open_, [&](Request const& each) { return each.id == request; });
  }
  bool idle() const override { return open_.empty(); }
  void step() override {
    for (Request const& request : open_) {
      Answer answer{.id = request.id, .first_token_us = now_us(), .finished_us = now_us()};
      for (int choice = 0; choice < request.choices; ++choice) {
        answer.choices.push_back({.tokens = {TokenId{97}, TokenId{98}}, .text = "ab", .logprobs = {}});
        if (request.deltas == Deltas::off) continue;
        deltas_.push_back({.id = request.id, .choice = choice, .tokens = {TokenId{97}}, .text = "a", .finish = {}});
        deltas_.push_back(
            {.id = request.id, .choice = choice, .tokens = {TokenId{98}}, .text = "b", .finish = FinishReason::length});
      }
      answers_.push_back(std::move(answer));
    }
    open_.clear();
  }
  std::vector<Answer> take_answers() override { return std::exchange(answers_, {}); }
  std::vector<ChoiceDelta> take_deltas() override { return std::exchange(deltas_, {}); }
  EngineCounters counters() const override { return {.running = int(open_.size())}; }

 private:
  std::vector<Request> open_;
  std::vector<ChoiceDelta> deltas_;
  std::vector<Answer> answers_;
};

/// One server for all inputs.
class Server {
 public:
  Server()
      : files_({.folder = folder_.path(), .max_user_bytes = 1 << 20, .max_user_files = 50}),
        batches_({.running_batches = 1}, files_),
        routes_(files_, batches_),
        service_({.version = "fuzz", .files = &routes_}, ApiKeys({{.name = "fuzz", .key = hash_key(key)}})),
        http_({.socket_path = folder_.file("socket"), .max_header_bytes = 4096, .max_body_bytes = 1 << 20}, service_),
        loop_({.max_open_requests = 64, .loops = 1, .drain_us = 0},
              [this](int loop, std::function<void()> work) { http_.post(loop, std::move(work)); }),
        model_{.rules = {.model_name = "fuzz",
                         .tokenizer = &tokenizer_,
                         .render_chat =
                             [](boost::json::object const& variables) {
                               return std::string(variables.at("messages").as_array().size(), 'm');
                             },
                         .vocab = 258,
                         .max_model_len = 4096,
                         .streaming = Streaming::possible},
               .name = "fuzz",
               .engine = &loop_},
        engine_([this] { loop_.run(runner_, [this] { return ending_.load(); }); }) {
    service_.connect([this](int loop, std::function<void()> work) { http_.post(loop, std::move(work)); },
                     [this] { return http_.connections(); });
    service_.serve(model_);
    wanted_ = ask_as_neighbour();
    ensure(wanted_.starts_with("HTTP/1.1 200 "), "the server does not answer at all");
  }
  ~Server() {
    ending_ = true;
    engine_.join();
    batches_.stop();
    service_.stop();
    http_.stop(0);
  }

  /// Everything the server says to these bytes, until it closes.
  std::string exchange(std::string_view bytes) const {
    int const client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string const path = folder_.file("socket");
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ensure(::connect(client, reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0, "nobody listens");
    timeval const patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::size_t const half = bytes.size() / 2;  // most often two reads of the server
    ::send(client, bytes.data(), half, MSG_NOSIGNAL);
    ::send(client, bytes.data() + half, bytes.size() - half, MSG_NOSIGNAL);
    std::string answer;
    if (!bytes.ends_with("Connection: close\r\n\r\n")) ::shutdown(client, SHUT_WR);
    char piece[4096];
    ssize_t count = 0;
    while ((count = ::recv(client, piece, sizeof piece, 0)) > 0) answer.append(piece, std::size_t(count));
    ensure(count == 0 || errno == ECONNRESET, "the server neither answers nor closes");
    ::close(client);
    return answer;
  }

  void check_neighbour() const { ensure(ask_as_neighbour() == wanted_, "a neighbour's answer has changed"); }

 private:
  /// A GET has no body: its end is the end of its head, and the server closes behind the answer.
  std::string ask_as_neighbour() const {
    return exchange(std::string("GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ") + key +
                    "\r\nConnection: close\r\n\r\n");
  }

  PrivateFolder folder_{"windlass-fuzz"};
  FakeTokenizer tokenizer_;
  QuickRunner runner_;
  std::atomic<bool> ending_ = false;
  FileStore files_;
  BatchService batches_;
  FileRoutes routes_;
  ApiService service_;
  HttpServer http_;
  EngineLoop loop_;
  ServedModel model_;
  std::thread engine_;
  std::string wanted_;
};

}  // namespace
}  // namespace windlass

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace windlass;
  static Server const server;
  static int turn = 0;
  std::string const answer = server.exchange({reinterpret_cast<char const*>(data), size});
  ensure(answer.empty() || answer.starts_with("HTTP/1.1 "), "an answer that is not HTTP");
  if (++turn % turns_between_neighbours == 0) server.check_neighbour();
  return 0;
}
