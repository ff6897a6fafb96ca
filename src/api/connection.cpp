#include "src/api/connection.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>
#include <cstdio>

#include "src/api/error_body.hpp"

namespace windlass {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Error = boost::system::error_code;

constexpr std::size_t max_waiting_input = std::size_t{64} << 10;  ///< of requests behind the one being answered
constexpr std::size_t kept_output_capacity = std::size_t{16} << 10;
constexpr Microseconds linger_us = 2'000'000;  ///< for a client to read a last answer before the socket is closed

/// The answer of one request of a connection; a later request has its own.
class ConnectionExchange final : public Exchange {
 public:
  ConnectionExchange(std::shared_ptr<Connection> const& connection, std::uint64_t number)
      : connection_(connection), loop_(connection->loop()), number_(number) {}
  int loop() const override { return loop_; }
  bool open() const override { return connection() != nullptr; }
  void respond(HttpResponse response) override {
    if (auto const mine = connection()) mine->respond(response);
  }
  void begin_events() override {
    if (auto const mine = connection()) mine->begin_events();
  }
  void send_event(std::string_view data) override {
    if (auto const mine = connection()) mine->send_event(data);
  }
  void end_events() override {
    if (auto const mine = connection()) mine->end_events();
  }
  void on_leave(std::function<void()> left) override {
    if (auto const mine = connection()) mine->on_leave(std::move(left));
  }

 private:
  /// While the connection still answers this request.
  std::shared_ptr<Connection> connection() const {
    auto open = connection_.lock();
    return open && open->answers(number_) ? open : nullptr;
  }

  std::weak_ptr<Connection> connection_;  // may outlive the server
  int loop_;
  std::uint64_t number_;
};

std::string_view view(boost::beast::string_view words) { return {words.data(), words.size()}; }

}  // namespace

void Connection::start() {
  loop_.connections.insert(shared_from_this());
  ++loop_.open_connections;
  Error ignored;
  socket_.non_blocking(true, ignored);
  enter(State::idle, now_us() + (tls_ ? loop_.config.header_us : loop_.config.idle_us));  // a handshake comes at once
  wait_for_input();
}

void Connection::enter(State state, Microseconds deadline_us) {
  state_ = state;
  deadline_us_ = deadline_us;
}

void Connection::wait_for_input() {
  if (waiting_for_input_ || state_ == State::closed || input_.size() > max_waiting_input) return;
  waiting_for_input_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](Error error) {
    self->waiting_for_input_ = false;
    if (!error) self->take_input();
  });
}

void Connection::take_input() {
  if (state_ == State::closed) return;
  Error error;
  std::size_t const bytes = socket_.read_some(asio::buffer(loop_.received), error);
  if (error && error != asio::error::would_block && error != asio::error::interrupted) return close();
  if (!error && tls_ && !decrypt({loop_.received.data(), bytes})) return close();
  if (!error && !tls_ && state_ != State::leaving) input_.append(loop_.received.data(), bytes);
  if (!error && state_ != State::leaving) parse();
  wait_for_input();
}

/// What the client said goes to the input, and what the handshake says to the client; false where the session is over.
bool Connection::decrypt(std::string_view wire) {
  std::string unread;
  bool const open = tls_->receive(wire, state_ == State::leaving ? unread : input_) == TlsSession::State::open;
  if (open) {
    if (tls_->has_wire()) send_soon();
    return true;
  }
  Error ignored;
  std::string const last = tls_->take_wire();  // an alert that says what is wrong
  socket_.write_some(asio::buffer(last), ignored);
  return false;
}

void Connection::parse() {
  while (!input_.empty() && parse_some()) {
  }
}

/// One step of parsing; false where more input or the end of an answer must come first.
bool Connection::parse_some() {
  if (state_ == State::idle) {
    if (sending_ || send_is_due_) return false;         // a client that reads nothing gets nothing more
    input_.erase(0, input_.find_first_not_of("\r\n"));  // may stand between requests (RFC 9112, 2.2)
    if (input_.empty()) return false;
    parser_.emplace();
    parser_->header_limit(loop_.config.max_header_bytes);
    parser_->body_limit(loop_.config.max_body_bytes);
    enter(State::head, now_us() + loop_.config.header_us);
  }
  if (state_ != State::head && state_ != State::body) return false;
  Error error;
  std::size_t const parsed = parser_->put(asio::buffer(input_), error);
  input_.erase(0, parsed);
  bool const more = error == http::error::need_more;
  if (error && !more) {
    refuse_malformed(error);
    return false;
  }
  if (state_ == State::head && parser_->is_header_done() && !take_head()) return false;
  if (state_ == State::body && parser_->is_done()) {
    take_request();
    return false;
  }
  return !more && parsed > 0;
}

/// False where the request goes no further.
bool Connection::take_head() {
  auto const& message = parser_->get();
  std::string_view const target = view(message.target());
  std::size_t const query = std::min(target.find('?'), target.size());
  without_body_ = message.method() == http::verb::head;
  head_ = {.method = without_body_ ? "GET" : std::string(view(message.method_string())),
           .path = std::string(target.substr(0, query)),
           .query = std::string(target.substr(std::min(query + 1, target.size()))),
           .authorization = std::string(view(message[http::field::authorization])),
           .content_type = std::string(view(message[http::field::content_type]))};
  http_1_0_ = message.version() < 11;
  keep_alive_ = message.keep_alive() && !loop_.stopping;
  enter(State::body, now_us() + loop_.config.body_us);
  if (!message[http::field::transfer_encoding].empty() && !message.chunked()) {
    keep_alive_ = false;  // where the next request begins is anybody's guess
    refuse(error_response(501, {.message = "Transfer-Encoding other than chunked is not supported"}));
    return false;
  }
  if (auto const refusal = loop_.handler.refuse(head_)) {
    refuse(*refusal);
    return false;
  }
  parser_->eager(true);
  bool const expects = boost::beast::iequals(message[http::field::expect], "100-continue");
  if (expects && !http_1_0_ && !parser_->is_done()) write("HTTP/1.1 100 Continue\r\n\r\n");
  return true;
}

void Connection::take_request() {
  HttpRequest request{.head = std::move(head_), .body = std::move(parser_->get().body())};
  parser_.reset();
  enter(State::answering, never_us);
  loop_.handler.handle(std::move(request), std::make_shared<ConnectionExchange>(shared_from_this(), ++exchange_));
}

/// Answers in the middle of a request. What is left of it cannot be told from the next one, so it is the last.
void Connection::refuse(HttpResponse const& response) {
  bool const complete = parser_ && parser_->is_done();
  keep_alive_ = keep_alive_ && complete;
  parser_.reset();
  ++exchange_;
  enter(State::answering, never_us);
  respond(response);
}

void Connection::refuse_malformed(Error error) {
  keep_alive_ = without_body_ = http_1_0_ = false;
  if (error == http::error::header_limit)
    return refuse(error_response(431, {.message = "the request's head is longer than this server reads"}));
  if (error == http::error::body_limit)
    return refuse(error_response(
        413, {.message = "the request's body has more than " + std::to_string(loop_.config.max_body_bytes) +
                         " bytes; send less, or raise --max-body-mib"}));
  refuse(error_response(400, {.message = "not an HTTP request: " + error.message()}));
}

void Connection::respond(HttpResponse const& response) {
  write_head(response, BodyKind::whole);
  if (!without_body_) write(response.body);
  finish_answer();
}

void Connection::begin_events() {
  if (http_1_0_) keep_alive_ = false;
  write_head({.content_type = "text/event-stream; charset=utf-8", .headers = {{"Cache-Control", "no-cache"}}},
             http_1_0_ ? BodyKind::until_close : BodyKind::chunked);
}

void Connection::send_event(std::string_view data) {
  constexpr std::string_view before = "data: ", after = "\n\n";
  if (!http_1_0_) {
    char size[24];
    int const digits = std::snprintf(size, sizeof size, "%zx\r\n", before.size() + data.size() + after.size());
    output_.append(size, std::size_t(digits));
  }
  output_.append(before).append(data);
  write(http_1_0_ ? "\n\n" : "\n\n\r\n");
  if (output_.size() > loop_.config.max_unsent_bytes) close();
}

void Connection::end_events() {
  if (!http_1_0_) write("0\r\n\r\n");
  finish_answer();
}

void Connection::write_head(HttpResponse const& response, BodyKind kind) {
  auto const reason = http::obsolete_reason(http::int_to_status(unsigned(response.status)));
  output_ += "HTTP/1.1 " + std::to_string(response.status) + " ";
  output_.append(reason.data(), reason.size());
  output_ += "\r\nContent-Type: " + response.content_type + "\r\n";
  for (auto const& [name, value] : response.headers) output_ += name + ": " + value + "\r\n";
  if (kind == BodyKind::whole) output_ += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  if (kind == BodyKind::chunked) output_ += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive_)
    output_ += "Connection: close\r\n";
  else if (http_1_0_)
    output_ += "Connection: keep-alive\r\n";
  write("\r\n");
}

void Connection::write(std::string_view bytes) {
  output_ += bytes;
  send_soon();
}

void Connection::send_soon() {
  if (sending_ || send_is_due_) return;
  send_is_due_ = true;
  loop_.send_soon(shared_from_this());
}

void Connection::finish_answer() {
  left_ = nullptr;
  if (keep_alive_)
    enter(State::idle, now_us() + loop_.config.idle_us);
  else
    enter(State::leaving, now_us() + loop_.config.stall_us);
}

void Connection::send() {
  send_is_due_ = false;
  if (state_ == State::closed || sending_) return;
  while (take_output()) {
    Error error;
    sent_bytes_ = socket_.write_some(asio::buffer(on_the_way_), error);  // most often the system takes all at once
    if (error && error != asio::error::would_block) return close();
    if (sent_bytes_ < on_the_way_.size()) {
      sending_ = true;
      return sent({}, 0);
    }
    on_the_way_.clear();
  }
  if (on_the_way_.capacity() > kept_output_capacity) on_the_way_ = {};
  if (output_.capacity() > kept_output_capacity) output_ = {};
  all_sent();
}

/// Puts what is to be sent on its way; false where there is nothing.
bool Connection::take_output() {
  if (tls_) {
    tls_->send(output_);
    output_.clear();
    on_the_way_ = tls_->take_wire();
  } else {
    on_the_way_.swap(output_);
  }
  return !on_the_way_.empty();
}

void Connection::sent(Error error, std::size_t bytes) {
  if (state_ == State::closed) return;
  if (error) return close();
  sent_bytes_ += bytes;
  send_deadline_us_ = now_us() + loop_.config.stall_us;
  if (sent_bytes_ < on_the_way_.size()) {
    socket_.async_write_some(asio::buffer(on_the_way_) + sent_bytes_,
                             [self = shared_from_this()](Error e, std::size_t n) { self->sent(e, n); });
    return;
  }
  on_the_way_.clear();
  send_deadline_us_ = never_us;
  sending_ = false;
  send();
}

/// Everything is with the system: the next request may come, or the last answer is out.
void Connection::all_sent() {
  if (state_ == State::idle && loop_.stopping) return close();
  if (state_ == State::idle) {
    parse();
    return wait_for_input();
  }
  if (state_ != State::leaving) return;
  Error ignored;
  if (tls_) socket_.write_some(asio::buffer(tls_->close()), ignored);
  if (loop_.stopping) return close();
  socket_.shutdown(Socket::shutdown_send, ignored);
  deadline_us_ = std::min(deadline_us_, now_us() + linger_us);
}

void Connection::check_deadline(Microseconds now) {
  if (now >= send_deadline_us_) return close();
  if (now < deadline_us_) return;
  if (state_ != State::head && state_ != State::body) return close();
  keep_alive_ = without_body_ = http_1_0_ = false;
  parser_.reset();
  refuse(error_response(408, {.message = "the request did not arrive in time"}));
}

void Connection::close_when_done() {
  keep_alive_ = false;
  bool const unsent = sending_ || send_is_due_;
  if (state_ == State::answering || (unsent && state_ != State::head && state_ != State::body)) return;
  close();
}

void Connection::close() {
  if (state_ == State::closed) return;
  std::function<void()> const left = state_ == State::answering ? std::exchange(left_, nullptr) : nullptr;
  enter(State::closed, never_us);
  Error ignored;
  socket_.close(ignored);
  if (loop_.connections.erase(shared_from_this()) > 0) --loop_.open_connections;
  if (left) left();
}

void ConnectionLoop::send_soon(std::shared_ptr<Connection> connection) {
  unsent.push_back(std::move(connection));
  if (unsent.size() == 1) asio::post(io, [this] { send_all(); });
}

void ConnectionLoop::send_all() {
  auto const ready = std::exchange(unsent, {});
  for (auto const& connection : ready) connection->send();
}

void ConnectionLoop::close_overdue() {
  Microseconds const now = now_us();
  std::vector<std::shared_ptr<Connection>> all;
  for (auto const& connection : connections)
    if (connection->overdue(now)) all.push_back(connection);
  for (auto const& connection : all) connection->check_deadline(now);
}

void ConnectionLoop::begin_stop(StopStyle style) {
  stopping = true;
  std::vector<std::shared_ptr<Connection>> const all(connections.begin(), connections.end());
  for (auto const& connection : all) style == StopStyle::finish ? connection->close_when_done() : connection->close();
}

}  // namespace windlass
