/// One client's connection: requests in, answers out, one after the other. Included by this folder's sources only.
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "src/api/http_server.hpp"
#include "src/api/tls.hpp"

namespace windlass {

class Connection;

/// A thread's share of the connections; everything but `io` is touched by that thread alone.
struct ConnectionLoop {
  ConnectionLoop(int the_index, HttpServerConfig const& the_config, HttpHandler& the_handler,
                 std::shared_ptr<TlsContext const> the_tls)
      : index(the_index),
        config(the_config),
        handler(the_handler),
        tls(std::move(the_tls)),
        received(std::size_t{64} << 10) {}

  int index;
  HttpServerConfig const& config;
  HttpHandler& handler;
  std::shared_ptr<TlsContext const> tls;  ///< null: connections are plain
  boost::asio::io_context io{1};
  std::vector<char> received;                                   ///< what is being read; shared by all connections
  std::unordered_set<std::shared_ptr<Connection>> connections;  ///< the open ones
  std::vector<std::shared_ptr<Connection>> unsent;              ///< have output that nobody is sending yet
  std::atomic<int> open_connections = 0;                        ///< size of `connections`, for other threads
  bool stopping = false;

  void send_soon(std::shared_ptr<Connection> connection);
  void send_all();
  void close_overdue();  ///< connections whose deadline is over
  enum class StopStyle : std::uint8_t { finish, at_once };
  void begin_stop(StopStyle style);  ///< finish: connections close after their answer
};

/// Belongs to its loop until its socket is closed. All calls on its loop's thread.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  Connection(ConnectionLoop& loop, Socket socket) : loop_(loop), socket_(std::move(socket)) {
    if (loop.tls) tls_.emplace(loop.tls);
  }
  void start();
  void send();  ///< hands the output to the system
  bool overdue(Microseconds now) const { return now >= std::min(deadline_us_, send_deadline_us_); }
  void check_deadline(Microseconds now);  ///< closes it, or answers 408, where its deadline is over
  void close_when_done();
  void close();

  // For the exchange with this number; others are over.
  bool answers(std::uint64_t exchange) const { return state_ == State::answering && exchange_ == exchange; }
  void respond(HttpResponse const& response);
  void begin_events();
  void send_event(std::string_view data);
  void end_events();
  void on_leave(std::function<void()> left) { left_ = std::move(left); }
  int loop() const { return loop_.index; }

 private:
  /// leaving: the answer was the last; what the client still sends is thrown away until it closes.
  enum class State : std::uint8_t { idle, head, body, answering, leaving, closed };
  enum class BodyKind : std::uint8_t { whole, chunked, until_close };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void wait_for_input();
  void take_input();
  bool decrypt(std::string_view wire);
  void send_soon();
  bool take_output();
  void parse();
  bool parse_some();
  bool take_head();
  void take_request();
  void refuse(HttpResponse const& response);
  void refuse_malformed(boost::system::error_code error);
  void write_head(HttpResponse const& response, BodyKind kind);
  void write(std::string_view bytes);
  void sent(boost::system::error_code error, std::size_t bytes);
  void all_sent();
  void finish_answer();
  void enter(State state, Microseconds deadline_us);

  ConnectionLoop& loop_;
  Socket socket_;
  std::optional<TlsSession> tls_;
  State state_ = State::idle;
  std::uint64_t exchange_ = 0;
  Microseconds deadline_us_ = never_us;       ///< of the state
  Microseconds send_deadline_us_ = never_us;  ///< for the client to take more of on_the_way_
  std::string input_;                         ///< received, not parsed
  std::optional<Parser> parser_;
  HttpHead head_;
  bool keep_alive_ = false, without_body_ = false, http_1_0_ = false;
  bool waiting_for_input_ = false, sending_ = false, send_is_due_ = false;
  std::string output_, on_the_way_;
  std::size_t sent_bytes_ = 0;  ///< of on_the_way_
  std::function<void()> left_;
};

}  // namespace windlass
