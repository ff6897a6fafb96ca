#include "src/api/client_connection.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <utility>

namespace windlass {

namespace asio = boost::asio;
namespace http = boost::beast::http;

void ClientConnection::carry(std::string bytes, std::shared_ptr<ResponseListener> listener) {
  request_ = std::move(bytes);
  listener_ = std::move(listener);
  ++exchange_;
  head_told_ = anything_came_ = false;
  input_.clear();
  parser_.emplace();
  parser_->body_limit(boost::none);
  parser_->eager(true);
  last_news_us_ = now_us();
  connected_ ? write() : connect(0);
}

void ClientConnection::connect(std::size_t endpoint) {
  socket_.async_connect(peer_.endpoints[endpoint], [self = shared_from_this(), endpoint](Error error) {
    if (!self->listener_) return;
    if (error && endpoint + 1 < self->peer_.endpoints.size()) {
      Error ignored;
      self->socket_.close(ignored);
      return self->connect(endpoint + 1);
    }
    if (error) return self->lost("cannot be reached: " + error.message());
    Error ignored;
    if (self->peer_.endpoints[endpoint].protocol().family() != AF_UNIX)
      self->socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    self->connected_ = true;
    if (self->peer_.tls) self->tls_.emplace(self->peer_.tls, self->peer_.name);
    self->write();
  });
}

void ClientConnection::write() {
  if (tls_)
    tls_->send(request_);
  else
    to_send_ = request_;
  transmit();
  read();
}

/// Sends what there is to be sent, one piece after the other.
void ClientConnection::transmit() {
  if (writing_) return;
  on_the_way_ = tls_ ? tls_->take_wire() : std::exchange(to_send_, {});
  if (on_the_way_.empty()) return;
  writing_ = true;
  asio::async_write(socket_, asio::buffer(on_the_way_),
                    [self = shared_from_this(), mine = exchange_](Error error, std::size_t) {
                      self->writing_ = false;
                      if (!error) return self->transmit();
                      if (self->exchange_ == mine && self->listener_ && !self->anything_came_)
                        self->lost("took no more of the request: " + error.message());
                    });
}

void ClientConnection::read() {
  socket_.async_read_some(asio::buffer(received_),
                          [self = shared_from_this(), mine = exchange_](Error error, std::size_t bytes) {
                            if (self->exchange_ != mine || !self->listener_) return;
                            if (!error) return self->take(bytes);
                            Error end_of_body;
                            if (self->parser_ && self->head_told_) self->parser_->put_eof(end_of_body);
                            if (self->head_told_ && !end_of_body && self->parser_->is_done())
                              return self->end(End::closed, "");
                            self->lost("left before its answer was complete: " + error.message());
                          });
}

void ClientConnection::take(std::size_t bytes) {
  last_news_us_ = now_us();
  std::string_view const wire(received_.data(), bytes);
  bool ended = false;
  if (tls_) {
    TlsSession::State const state = tls_->receive(wire, input_);
    if (state == TlsSession::State::failed) return lost("and this client cannot agree on TLS: " + tls_->problem());
    ended = state == TlsSession::State::closed;
    transmit();
    if (input_.empty()) return ended ? lost("left before its answer was complete") : read();
  } else {
    input_ += wire;
  }
  anything_came_ = true;
  std::uint64_t const mine = exchange_;
  auto const self = shared_from_this();
  bool const more = parse();
  if (exchange_ != mine || !listener_) return;  // the listener, or a fault, has ended it
  if (more) return ended ? lost("left before its answer was complete") : read();
  end(parser_->get().keep_alive() && !writing_ ? End::reusable : End::closed, "");
}

/// False where the response is complete. A response that is no HTTP ends here.
bool ClientConnection::parse() {
  while (!input_.empty() && listener_) {
    Error error;
    std::size_t const parsed = parser_->put(asio::buffer(input_), error);
    input_.erase(0, parsed);
    if (error && error != http::error::need_more) {
      lost("sent something else than HTTP: " + error.message());
      return true;
    }
    pass_on();
    if (parser_->is_done()) return false;
    if (parsed == 0) return true;
  }
  return !parser_->is_done();
}

void ClientConnection::pass_on() {
  if (!parser_->is_header_done()) return;
  unsigned const status = parser_->get().result_int();
  if (!head_told_ && status >= 200) {
    head_told_ = true;
    listener_->on_head(int(status));
  }
  std::string const piece = std::exchange(parser_->get().body(), {});
  if (!piece.empty() && listener_) listener_->on_body(piece);
  if (status >= 200 || !parser_->is_done()) return;
  parser_.emplace();  // 100 Continue: the response itself follows
  parser_->body_limit(boost::none);
  parser_->eager(true);
}

void ClientConnection::lost(std::string const& what) {
  bool const unused = used_before_ && !anything_came_;
  end(unused ? End::lost_unused : End::closed, what);
}

void ClientConnection::give_up(std::string const& problem) { end(End::closed, problem); }

void ClientConnection::end(End end, std::string const& problem) {
  auto const self = shared_from_this();
  ++exchange_;
  used_before_ = true;
  last_news_us_ = never_us;
  if (end != End::reusable) {
    Error ignored;
    socket_.close(ignored);
  }
  auto const listener = end == End::lost_unused ? nullptr : std::exchange(listener_, nullptr);
  done_(*this, end);
  if (listener) listener->on_end(problem);
}

void ClientConnection::close() {
  listener_ = nullptr;
  Error ignored;
  socket_.close(ignored);
}

}  // namespace windlass
