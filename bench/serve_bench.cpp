// The server alone: an engine that answers at once, and clients that read streams, in one process. One JSON line.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/arguments.hpp"
#include "src/api/http_server.hpp"
#include "src/serve/json_text.hpp"
#include "src/serve/online/api_service.hpp"

namespace windlass::bench {
namespace {

/// One token a step for every request, without computing anything.
class InstantRunner final : public RequestRunner {
 public:
  void submit(Request request) override {
    int const tokens = request.sampling.max_tokens;
    open_.push_back(
        {.id = request.id, .left = tokens, .choice = {.tokens = std::vector<TokenId>(std::size_t(tokens))}});
  }
  void cancel(RequestId request) override {
    std::erase_if(open_, [&](Open const& one) { return one.id == request; });
  }
  bool idle() const override { return open_.empty(); }
  void step() override {
    for (Open& one : open_) {
      bool const last = --one.left == 0;
      deltas_.push_back({.id = one.id,
                         .tokens = {TokenId{1}},
                         .text = " word",
                         .finish = last ? std::optional(FinishReason::length) : std::nullopt});
      if (last) answers_.push_back({.id = one.id, .choices = {std::move(one.choice)}});
    }
    std::erase_if(open_, [](Open const& one) { return one.left == 0; });
  }
  std::vector<Answer> take_answers() override { return std::exchange(answers_, {}); }
  std::vector<ChoiceDelta> take_deltas() override { return std::exchange(deltas_, {}); }
  EngineCounters counters() const override { return {.running = int(open_.size())}; }

 private:
  struct Open {
    RequestId id{};
    int left = 0;
    Choice choice;
  };
  std::vector<Open> open_;
  std::vector<ChoiceDelta> deltas_;
  std::vector<Answer> answers_;
};

double thread_seconds() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return double(spent.tv_sec) + double(spent.tv_nsec) * 1e-9;
}

/// Of a stream: its head, each event (its size, its data, two ends), its end.
constexpr std::int64_t head_lines = 5, event_lines = 4, end_lines = 2;

/// Clients that ask once each and read to the end of their stream.
class Clients {
 public:
  Clients(std::uint16_t port, int count) : epoll_(::epoll_create1(0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (int i = 0; i < count; ++i) {
      int const socket = ::socket(AF_INET, SOCK_STREAM, 0);
      if (socket < 0 || ::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        throw InputError("a client cannot connect; raise the limit of open files (ulimit -n)");
      epoll_event event{.events = EPOLLIN, .data = {.fd = socket}};
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event);
      sockets_.push_back(socket);
    }
  }
  ~Clients() {
    for (int const socket : sockets_) ::close(socket);
    ::close(epoll_);
  }

  void ask(std::string const& request) const {
    for (int const socket : sockets_)
      ensure(::send(socket, request.data(), request.size(), MSG_NOSIGNAL) == ssize_t(request.size()), "send failed");
  }
  /// Reads until so many lines have come.
  void read(std::int64_t lines) {
    double const begun = thread_seconds();
    std::vector<char> data(1 << 18);
    epoll_event ready[256];
    for (std::int64_t seen = 0; seen < lines;) {
      int const count = ::epoll_wait(epoll_, ready, 256, 20'000);
      ensure(count > 0, "the server sent nothing for 20 s");
      for (int i = 0; i < count; ++i) {
        ssize_t const bytes = ::recv(ready[i].data.fd, data.data(), data.size(), 0);
        ensure(bytes > 0, "the server closed a stream");
        bytes_ += bytes;
        seen += std::count(data.begin(), data.begin() + bytes, '\n');
      }
    }
    seconds_ = thread_seconds() - begun;
  }
  double seconds() const { return seconds_; }  ///< processor time of read()
  std::int64_t bytes() const { return bytes_; }

 private:
  int epoll_;
  std::vector<int> sockets_;
  double seconds_ = 0;
  std::int64_t bytes_ = 0;
};

double process_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto const seconds = [](timeval time) { return double(time.tv_sec) + double(time.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string request_of(std::string const& key, int tokens) {
  std::string const body = text(R"({"prompt":[1],"stream":true,"max_tokens":)", tokens, "}");
  return text("POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ", key,
              "\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
}

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int run(Arguments const& arguments) {
  int const streams = int(arguments.integer("streams")), tokens = int(arguments.integer("tokens"));
  raise_descriptor_limit();
  std::string const key = random_key();
  ApiService service({}, ApiKeys({{.name = "bench", .key = hash_key(key)}}));
  HttpServer server({.threads = int(arguments.integer("http-threads")), .max_connections = streams + 10}, service);
  auto const post = [&](int loop, std::function<void()> work) { server.post(loop, std::move(work)); };
  EngineLoop loop({.max_open_requests = streams, .loops = server.loops()}, post);
  service.connect(post, [&] { return server.connections(); });
  ServedModel model;
  model.rules.vocab = 10;
  model.rules.max_model_len = 1 << 30;
  model.rules.streaming = Streaming::possible;
  model.name = model.rules.model_name = "bench";
  model.engine = &loop;
  service.serve(model);
  InstantRunner runner;
  std::atomic<bool> over = false;
  std::thread engine([&] { loop.run(runner, [&] { return over.load(); }); });
  Clients clients(server.port(), streams);

  double const cpu_before = process_seconds();
  Microseconds const begun = now_us();
  clients.ask(request_of(key, tokens));
  clients.read(std::int64_t(streams) * (head_lines + event_lines * (tokens + 1) + end_lines));
  double const seconds = double(now_us() - begun) * 1e-6, cpu = process_seconds() - cpu_before;

  over = true;
  engine.join();
  service.stop();
  server.stop(1'000'000);
  double const all = double(streams) * tokens;
  JsonText out;
  out.begin_object()
      .member("operation", "serve_streams")
      .member("streams", streams)
      .member("tokens", std::int64_t(all));
  out.member("seconds", seconds).member("tokens_per_s", all / seconds);
  out.member("server_cpu_us_per_token", (cpu - clients.seconds()) / all * 1e6);
  out.member("client_cpu_us_per_token", clients.seconds() / all * 1e6);
  out.member("mb_per_s", double(clients.bytes()) / seconds * 1e-6).end_object();
  std::puts(out.text().c_str());
  return 0;
}

}  // namespace
}  // namespace windlass::bench

int main(int count, char** words) {
  using namespace windlass;
  try {
    return bench::run({count, words, {{"streams", "1000"}, {"tokens", "500"}, {"http-threads", "1"}}});
  } catch (std::exception const& error) {
    std::fprintf(stderr, "serve_bench: %s\n", error.what());
    return 1;
  }
}
