// The HTTP server in front of a handler that answers at once: limits, order, leaving, ending.
#include "src/api/http_server.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <string>

#include "src/api/api_keys.hpp"

namespace windlass {
namespace {

/// "/echo" answers with the body; "/events" sends that many events; "/never" leaves the client waiting.
class Echo final : public HttpHandler {
 public:
  std::optional<HttpResponse> refuse(HttpHead& head) override {
    if (head.path == "/refused") return HttpResponse{.status = 403};
    return std::nullopt;
  }
  void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override {
    if (request.head.path == "/never") {
      exchange->on_leave([this] { left.set_value(); });
      waiting.set_value(std::move(exchange));
      return;
    }
    if (request.head.path != "/events") return exchange->respond({.body = request.body});
    exchange->begin_events();
    for (int i = 0; i < std::stoi(request.head.query); ++i) exchange->send_event("event " + std::to_string(i));
    exchange->end_events();
  }
  std::promise<void> left;
  std::promise<std::shared_ptr<Exchange>> waiting;
};

class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    timeval const patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~Client() { close(); }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void send(std::string const& words) const {
    EXPECT_EQ(::send(socket_, words.data(), words.size(), MSG_NOSIGNAL), ssize_t(words.size()));
  }
  /// Everything until the server closes, or until `end` has come.
  std::string receive(std::string const& end = "") const {
    std::string all;
    char piece[4096];
    for (ssize_t bytes = 0; (bytes = ::recv(socket_, piece, sizeof piece, 0)) > 0;) {
      all.append(piece, std::size_t(bytes));
      if (!end.empty() && all.ends_with(end)) break;
    }
    return all;
  }

 private:
  int socket_;
};

std::string post(std::string const& path, std::string const& body, std::string const& header = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + header + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

int status(std::string const& answer) { return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0; }

HttpServerConfig quick() {
  return {.threads = 2,
          .max_header_bytes = 1000,
          .max_body_bytes = 1000,
          .header_us = 300'000,
          .body_us = 300'000,
          .idle_us = 300'000};
}

TEST(HttpServer, AnswersOneRequestAfterTheOther) {
  Echo echo;
  HttpServer server({}, echo);
  Client const client(server.port());

  client.send(post("/echo", "one") + post("/echo", "two"));

  EXPECT_TRUE(client.receive("two").find("\r\n\r\noneHTTP/1.1 200 OK") != std::string::npos);
  client.send(post("/echo", "three", "Connection: close\r\n"));
  EXPECT_TRUE(client.receive().ends_with("\r\n\r\nthree"));
}

TEST(HttpServer, SendsEventsInChunks) {
  Echo echo;
  HttpServer server({}, echo);
  Client const client(server.port());

  client.send(post("/events?2", "", "Connection: close\r\n"));

  std::string const answer = client.receive();
  EXPECT_NE(answer.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\nf\r\ndata: event 0\n\n\r\nf\r\ndata: event 1\n\n\r\n0\r\n\r\n")) << answer;
}

TEST(HttpServer, RefusesAtTheHeadWithoutReadingTheBody) {
  Echo echo;
  HttpServer server({}, echo);
  Client const client(server.port());

  client.send("POST /refused HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");

  EXPECT_EQ(status(client.receive()), 403);
}

TEST(HttpServer, HoldsClientsToItsLimits) {
  Echo echo;
  HttpServer server(quick(), echo);
  Client const long_head(server.port()), long_body(server.port()), slow_head(server.port()), slow_body(server.port()),
      idle(server.port());

  long_head.send("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x'));
  long_body.send("POST /echo HTTP/1.1\r\nContent-Length: 1001\r\n\r\n");
  slow_head.send("GET /echo HT");
  slow_body.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");

  EXPECT_EQ(status(long_head.receive()), 431);
  EXPECT_EQ(status(long_body.receive()), 413);
  EXPECT_EQ(status(slow_head.receive()), 408);
  EXPECT_EQ(status(slow_body.receive()), 408);
  EXPECT_EQ(idle.receive(), "");
}

TEST(HttpServer, TurnsAwayMoreConnectionsThanItMayHave) {
  Echo echo;
  HttpServer server({.max_connections = 1}, echo);
  Client const first(server.port());
  first.send(post("/echo", "x"));
  EXPECT_EQ(status(first.receive("x")), 200);

  Client const second(server.port());

  EXPECT_EQ(status(second.receive()), 503);
}

TEST(HttpServer, TellsWhenAClientLeaves) {
  Echo echo;
  HttpServer server({}, echo);
  Client client(server.port());
  client.send(post("/never", ""));
  auto const exchange = echo.waiting.get_future().get();

  client.close();

  EXPECT_EQ(echo.left.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  server.stop(0);
  EXPECT_FALSE(exchange->open());
}

TEST(HttpServer, CutsAStreamThatItsClientDoesNotRead) {
  Echo echo;
  HttpServer server({.max_unsent_bytes = 1 << 16}, echo);
  Client const client(server.port());

  client.send(post("/events?1000000", ""));

  EXPECT_FALSE(client.receive().ends_with("0\r\n\r\n"));
}

TEST(HttpServer, FinishesAnswersBeforeItEnds) {
  Echo echo;
  HttpServer server({}, echo);
  Client const client(server.port());
  client.send(post("/never", ""));
  auto const exchange = echo.waiting.get_future().get();

  std::thread stopper([&] { server.stop(20'000'000); });
  server.post(exchange->loop(), [&] { exchange->respond({.body = "late"}); });

  EXPECT_TRUE(client.receive().ends_with("late"));
  stopper.join();
}

TEST(ApiKeys, FindsTheUserOfAKeyAndNobodyElse) {
  ApiKeys const keys({{.name = "a", .key = hash_key("one")}, {.name = "b", .key = hash_key("two")}});

  ASSERT_NE(keys.find("Bearer two"), nullptr);
  EXPECT_EQ(keys.find("Bearer two")->name, "b");
  EXPECT_EQ(keys.find("bearer  one")->name, "a");
  for (char const* wrong : {"", "Bearer", "Bearer ", "Bearer on", "Bearer one ", "Basic one", "one"})
    EXPECT_EQ(keys.find(wrong), nullptr) << wrong;
  EXPECT_NE(random_key(), random_key());
  EXPECT_EQ(random_key().size(), 67u);
}

TEST(UserAccounts, LimitsRequestsAtOnceAndPerMinute) {
  UserAccounts accounts;
  UserLimits const limits{.requests_per_minute = 3, .concurrent_requests = 2};
  Microseconds const now = 1'000'000;

  auto first = accounts.enter("a", limits, now);
  auto const second = accounts.enter("a", limits, now), third = accounts.enter("a", limits, now);
  EXPECT_TRUE(first.visit && second.visit);
  ASSERT_TRUE(third.refusal);
  EXPECT_EQ(third.refusal->message, "this key may have 2 requests at once");
  EXPECT_TRUE(accounts.enter("b", limits, now).visit) << "another user's limits are their own";

  first.visit.reset();
  EXPECT_TRUE(accounts.enter("a", limits, now).visit);
  auto const too_many = accounts.enter("a", limits, now);
  ASSERT_TRUE(too_many.refusal);
  EXPECT_EQ(too_many.refusal->retry_seconds, 20);
  EXPECT_TRUE(accounts.enter("a", limits, now + 20'000'000).visit);
}

TEST(UserAccounts, TokensUsedTooMuchAreWaitedFor) {
  UserAccounts accounts;
  UserLimits const limits{.tokens_per_minute = 60};
  Microseconds const now = now_us();

  accounts.enter("a", limits, now).visit->use_tokens(90);

  auto const refused = accounts.enter("a", limits, now_us());
  ASSERT_TRUE(refused.refusal);
  EXPECT_NEAR(refused.refusal->retry_seconds, 31, 1);
  EXPECT_TRUE(accounts.enter("a", limits, now + 40'000'000).visit);
}

}  // namespace
}  // namespace windlass
