// The HTTP client against the HTTP server, and event streams in pieces.
#include "src/api/http_client.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "src/api/event_reader.hpp"
#include "src/api/http_server.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

/// "/echo" answers with the body, "/key" with the Authorization header, "/events" with events, "/never" with nothing;
/// "/cut" leaves in the middle.
class Answers final : public HttpHandler {
 public:
  std::optional<HttpResponse> refuse(HttpHead&) override { return std::nullopt; }
  void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override {
    if (request.head.path == "/v1/echo") return exchange->respond({.status = 201, .body = request.body});
    if (request.head.path == "/v1/key") return exchange->respond({.body = request.head.authorization});
    if (request.head.path == "/root") return exchange->respond({.body = "root"});
    if (request.head.path == "/v1/never") {
      kept = std::move(exchange);
      return;
    }
    exchange->begin_events();
    for (int i = 0; i < 3; ++i) exchange->send_event("event " + std::to_string(i));
    exchange->end_events();
  }
  std::shared_ptr<Exchange> kept;
};

class Events final : public ResponseListener {
 public:
  void on_head(int the_status) override { status = the_status; }
  void on_body(std::string_view piece) override {
    reader.take(piece, [this](std::string_view data) { all.emplace_back(data); });
  }
  void on_end(std::string const& the_problem) override {
    problem = the_problem;
    over = true;
  }
  EventReader reader;
  std::vector<std::string> all;
  std::string problem;
  int status = 0;
  bool over = false;
};

struct Pair {
  explicit Pair(Microseconds idle_us = 60'000'000, Microseconds patience_us = 20'000'000)
      : server({.idle_us = idle_us}, answers),
        client({.host = "127.0.0.1", .port = server.port(), .socket_path = "", .path = "/v1"}, patience_us) {}
  ~Pair() { answers.kept.reset(); }
  Answers answers;
  HttpServer server;
  HttpClient client;
};

std::vector<std::string> events_of(std::vector<std::string> const& pieces) {
  EventReader reader;
  std::vector<std::string> all;
  for (std::string const& piece : pieces) reader.take(piece, [&](std::string_view data) { all.emplace_back(data); });
  return all;
}

TEST(EventReader, FindsEventsHoweverTheyAreCut) {
  std::string const stream =
      "data: one\n\n: a comment\nevent: x\ndata:two\r\ndata: three\r\n\r\ndata\n\nid: 1\n\ndata: four\r\r";
  std::vector<std::string> const wanted = {"one", "two\nthree", "four"};

  EXPECT_EQ(events_of({stream}), wanted);
  for (std::size_t cut = 0; cut <= stream.size(); ++cut)
    EXPECT_EQ(events_of({stream.substr(0, cut), stream.substr(cut)}), wanted) << cut;
  std::vector<std::string> letters;
  for (char const c : stream) letters.emplace_back(1, c);
  EXPECT_EQ(events_of(letters), wanted);
}

TEST(EventReader, AnEventThatIsNotCompleteIsNone) { EXPECT_TRUE(events_of({"data: one\n"}).empty()); }

TEST(ServerAddress, IsReadFromItsUrl) {
  ServerAddress const plain = parse_server_url("http://node7:8123/v1/");
  ServerAddress const ip_6 = parse_server_url("http://[::1]:9");

  EXPECT_EQ(plain.host, "node7");
  EXPECT_EQ(plain.port, 8123);
  EXPECT_EQ(plain.path, "/v1");
  EXPECT_EQ(ip_6.host, "::1");
  EXPECT_EQ(ip_6.port, 9);
  EXPECT_EQ(parse_server_url("http://localhost/v1").port, 80);
}

TEST(ServerAddress, WhatIsNoneIsRefused) {
  for (char const* const url : {"", "127.0.0.1:80", "ftp://x/", "http://", "http://x:0/", "http://x:70000",
                                "http://x:8a", "http://[::1", "http://a b/", "http://user@x/", "http://x/v1?key=1"})
    EXPECT_THROW(parse_server_url(url), InputError) << url;
}

TEST(HttpClient, AsksAndIsAnswered) {
  Pair pair;
  std::string const body(300'000, 'x');

  WholeResponse const echo = ask(pair.client, {.method = "POST", .route = "/echo", .body = body, .api_key = ""});
  WholeResponse const key = ask(pair.client, {.route = "/key", .body = "", .api_key = "secret"});
  WholeResponse const root = ask(pair.client, {.route = "//root", .body = "", .api_key = ""});

  EXPECT_EQ(echo.status, 201);
  EXPECT_EQ(echo.body, body);
  EXPECT_EQ(key.body, "Bearer secret");
  EXPECT_EQ(root.body, "root");
  EXPECT_EQ(pair.server.connections(), 1);  // kept and used again
}

TEST(HttpClient, ManyStreamsAtATime) {
  Pair pair;
  std::vector<std::shared_ptr<Events>> streams;
  for (int i = 0; i < 50; ++i) {
    streams.push_back(std::make_shared<Events>());
    pair.client.send({.route = "/events", .body = "", .api_key = ""}, streams.back());
  }

  pair.client.run();

  for (auto const& stream : streams) {
    EXPECT_EQ(stream->status, 200);
    EXPECT_EQ(stream->all, (std::vector<std::string>{"event 0", "event 1", "event 2"}));
    EXPECT_EQ(stream->problem, "");
  }
}

TEST(HttpClient, AConnectionThatTheServerClosedMeanwhileIsReplaced) {
  Pair pair(1);  // idle connections go at the next look, a quarter of a second apart
  ask(pair.client, {.route = "/key", .body = "", .api_key = "a"});
  while (pair.server.connections() > 0) pair.client.run();

  EXPECT_EQ(ask(pair.client, {.route = "/key", .body = "", .api_key = "b"}).body, "Bearer b");
}

TEST(HttpClient, ASilentServerIsGivenUp) {
  Pair pair(60'000'000, 1000);
  auto const stream = std::make_shared<Events>();
  pair.client.send({.route = "/never", .body = "", .api_key = ""}, stream);

  pair.client.run();

  EXPECT_TRUE(stream->over);
  EXPECT_EQ(stream->problem, "sent nothing for too long");
}

TEST(HttpClient, WhoeverRunsItCanStopIt) {
  Pair pair;
  auto const stream = std::make_shared<Events>();
  pair.client.send({.route = "/never", .body = "", .api_key = ""}, stream);
  int looks = 0;

  pair.client.run([&] { return ++looks > 3; });

  EXPECT_FALSE(stream->over);
  EXPECT_EQ(ask(pair.client, {.route = "/key", .body = "", .api_key = "c"}).body, "Bearer c");
}

TEST(HttpClient, NobodyThereIsAnError) {
  std::uint16_t port = 0;
  {
    Answers answers;
    port = HttpServer({}, answers).port();
  }
  HttpClient client({.host = "127.0.0.1", .port = port, .socket_path = "", .path = ""}, 1'000'000);

  EXPECT_THROW(ask(client, {.route = "/x", .body = "", .api_key = ""}), ServerUnreachable);
  EXPECT_THROW(HttpClient({.host = "no such host.invalid", .socket_path = "", .path = ""}, 1), InputError);
}

}  // namespace
}  // namespace windlass
