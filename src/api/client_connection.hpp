/// One connection of an HttpClient. Included by this folder's sources only.
#pragma once

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/api/http_client.hpp"
#include "src/api/tls.hpp"

namespace windlass {

/// Carries one request after the other; each ends with a call of `done`. All calls on the client's thread.
class ClientConnection final : public std::enable_shared_from_this<ClientConnection> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Endpoint = boost::asio::generic::stream_protocol::endpoint;
  /// How a request ended. lost_unused: an old connection turned out to be closed before anything came; the request may
  /// be sent again on another one.
  enum class End : std::uint8_t { reusable, closed, lost_unused };
  using Done = std::function<void(ClientConnection& self, End end)>;

  /// Where the server is. What it refers to must outlive the connection.
  struct Peer {
    std::vector<Endpoint> const& endpoints;
    std::shared_ptr<TlsContext const> tls;  ///< null: plain
    std::string const& name;                ///< that its certificate is for
  };
  ClientConnection(boost::asio::io_context& io, Peer const& peer, Done done)
      : socket_(io), peer_(peer), done_(std::move(done)) {}

  /// `bytes` is the whole request, with its head.
  void carry(std::string bytes, std::shared_ptr<ResponseListener> listener);
  std::string take_request() { return std::move(request_); }  ///< after lost_unused
  std::shared_ptr<ResponseListener> take_listener() { return std::move(listener_); }
  Microseconds last_news_us() const { return last_news_us_; }
  void give_up(std::string const& problem);  ///< the listener hears it
  void close();                              ///< nobody hears anything more

 private:
  using Error = boost::system::error_code;
  using Parser = boost::beast::http::response_parser<boost::beast::http::string_body>;

  void connect(std::size_t endpoint);
  void write();
  void transmit();
  void read();
  void take(std::size_t bytes);
  bool parse();
  void pass_on();
  void lost(std::string const& what);
  void end(End end, std::string const& problem);

  Socket socket_;
  Peer const peer_;
  Done done_;
  std::shared_ptr<ResponseListener> listener_;
  std::string request_, input_;
  std::optional<TlsSession> tls_;
  std::string to_send_, on_the_way_;
  std::array<char, std::size_t{16} << 10> received_;
  std::optional<Parser> parser_;
  std::uint64_t exchange_ = 0;  ///< counts requests: what belongs to an earlier one is ignored
  Microseconds last_news_us_ = never_us;
  bool connected_ = false, writing_ = false, used_before_ = false, head_told_ = false, anything_came_ = false;
};

}  // namespace windlass
