#include "src/api/http_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <chrono>
#include <unordered_set>
#include <utility>
#include <vector>

#include "src/api/client_connection.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace asio = boost::asio;
using Error = boost::system::error_code;
using asio::ip::tcp;

constexpr auto stop_interval = std::chrono::milliseconds(20);
constexpr auto sweep_interval = std::chrono::milliseconds(250);

[[noreturn]] void bad_url(std::string const& url, std::string const& problem) {
  throw InputError(
      text("'", url, "' is no address of a server: ", problem, "; write it like http://127.0.0.1:8000/v1"));
}

std::uint16_t parse_port(std::string const& url, std::string_view digits) {
  unsigned port = 0;
  auto const [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failed != std::errc{} || end != digits.data() + digits.size() || port < 1 || port > 65535)
    bad_url(url, text("the port '", digits, "' is none"));
  return std::uint16_t(port);
}

std::vector<ClientConnection::Endpoint> look_up(ServerAddress const& address, asio::io_context& io) {
  if (!address.socket_path.empty()) return {asio::local::stream_protocol::endpoint(address.socket_path)};
  Error error;
  tcp::resolver resolver(io);
  auto const found = resolver.resolve(address.host, std::to_string(address.port), error);
  if (error) throw InputError(text("the host '", address.host, "' is not known: ", error.message()));
  std::vector<ClientConnection::Endpoint> endpoints;
  for (auto const& entry : found) endpoints.emplace_back(entry.endpoint());
  return endpoints;
}

std::string request_bytes(ServerAddress const& address, ClientRequest const& request) {
  bool const from_root = request.route.starts_with("//");
  bool const ip_6 = address.host.find(':') != std::string::npos;
  std::string const host = address.socket_path.empty()
                               ? text(ip_6 ? "[" : "", address.host, ip_6 ? "]" : "", ":", address.port)
                               : "localhost";
  std::string bytes =
      text(request.method, ' ', from_root ? "" : address.path, from_root ? request.route.substr(1) : request.route,
           " HTTP/1.1\r\nHost: ", host, "\r\nUser-Agent: windlass\r\nAccept: application/json, text/event-stream\r\n");
  if (!request.api_key.empty()) bytes += "Authorization: Bearer " + request.api_key + "\r\n";
  if (!request.body.empty())
    bytes += text("Content-Type: application/json\r\nContent-Length: ", request.body.size(), "\r\n");
  return bytes + "\r\n" + request.body;
}

class Collector final : public ResponseListener {
 public:
  void on_head(int status) override { response.status = status; }
  void on_body(std::string_view piece) override { response.body += piece; }
  void on_end(std::string const& problem) override { error = problem; }
  WholeResponse response;
  std::string error = "no answer came";
};

}  // namespace

ServerAddress parse_server_url(std::string const& url) {
  bool const secure = url.starts_with("https://");
  if (!secure && !url.starts_with("http://")) bad_url(url, "it begins with neither http:// nor https://");
  std::string const rest = url.substr(secure ? 8 : 7);
  std::size_t const slash = std::min(rest.find('/'), rest.size());
  std::string const authority = rest.substr(0, slash);
  ServerAddress address{.scheme = secure ? UrlScheme::https : UrlScheme::http,
                        .host = "",
                        .port = std::uint16_t(secure ? 443 : 80),
                        .path = rest.substr(slash)};
  while (address.path.ends_with('/')) address.path.pop_back();
  if (address.path.find_first_of(" \t\r\n?#") != std::string::npos) bad_url(url, "its path has a character of no path");
  std::size_t const bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == std::string::npos) bad_url(url, "']' is missing");
  std::size_t const colon = std::min(authority.find(':', bracket), authority.size());
  address.host = bracket > 0 ? authority.substr(1, bracket - 1) : authority.substr(0, colon);
  if (address.host.empty() || address.host.find_first_of(" \t\r\n@") != std::string::npos)
    bad_url(url, "it has no host");
  if (colon < authority.size()) address.port = parse_port(url, std::string_view(authority).substr(colon + 1));
  return address;
}

class HttpClient::Impl {
 public:
  Impl(ServerAddress const& address, Microseconds patience_us)
      : address_(address),
        patience_us_(patience_us),
        tls_(address.scheme == UrlScheme::https ? TlsContext::of_client(address.ca_file) : nullptr),
        endpoints_(look_up(address, io_)),
        sweep_(io_) {}
  ~Impl() { close_all(); }

  void send(ClientRequest const& request, std::shared_ptr<ResponseListener> listener) {
    carry(request_bytes(address_, request), std::move(listener));
  }

  void at(Microseconds time_us, std::function<void()> work) {
    auto timer = std::make_shared<asio::steady_timer>(
        io_, std::chrono::steady_clock::time_point(std::chrono::microseconds(time_us)));
    timer->async_wait([timer, work = std::move(work)](Error error) {
      if (!error) work();
    });
  }

  void run(std::function<bool()> const& stop) {
    io_.restart();
    if (!stop) {
      io_.run();
      return;
    }
    for (; !io_.stopped(); io_.run_for(stop_interval)) {
      if (!stop()) continue;
      close_all();
      io_.poll();
      return;
    }
  }

 private:
  void carry(std::string bytes, std::shared_ptr<ResponseListener> listener) {
    std::shared_ptr<ClientConnection> connection;
    if (idle_.empty()) {
      connection = std::make_shared<ClientConnection>(
          io_, ClientConnection::Peer{.endpoints = endpoints_, .tls = tls_, .name = address_.host},
          [this](ClientConnection& self, ClientConnection::End end) { done(self, end); });
    } else {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
    if (busy_.empty()) sweep_soon();
    busy_.insert(connection);
    connection->carry(std::move(bytes), std::move(listener));
  }

  void done(ClientConnection& connection, ClientConnection::End end) {
    auto const shared = connection.shared_from_this();
    busy_.erase(shared);
    if (end == ClientConnection::End::lost_unused) {
      idle_.clear();  // the server has closed them all, most likely
      carry(connection.take_request(), connection.take_listener());
    }
    if (end == ClientConnection::End::reusable) idle_.push_back(shared);
    if (busy_.empty()) sweep_.cancel();
  }

  void sweep_soon() {
    sweep_.expires_after(sweep_interval);
    sweep_.async_wait([this](Error error) {
      if (error) return;
      Microseconds const oldest_us = now_us() - patience_us_;
      std::vector<std::shared_ptr<ClientConnection>> late;
      for (auto const& connection : busy_)
        if (connection->last_news_us() < oldest_us) late.push_back(connection);
      for (auto const& connection : late) connection->give_up("sent nothing for too long");
      if (!busy_.empty()) sweep_soon();
    });
  }

  void close_all() {
    for (auto const& connection : busy_) connection->close();
    busy_.clear();
    sweep_.cancel();
  }

  ServerAddress const address_;
  Microseconds const patience_us_;
  std::shared_ptr<TlsContext const> const tls_;  ///< null: connections are plain
  asio::io_context io_{1};
  std::vector<ClientConnection::Endpoint> const endpoints_;
  asio::steady_timer sweep_;
  std::vector<std::shared_ptr<ClientConnection>> idle_;
  std::unordered_set<std::shared_ptr<ClientConnection>> busy_;
};

HttpClient::HttpClient(ServerAddress const& address, Microseconds patience_us)
    : impl_(std::make_unique<Impl>(address, patience_us)) {}
HttpClient::~HttpClient() = default;
void HttpClient::send(ClientRequest const& request, std::shared_ptr<ResponseListener> listener) {
  impl_->send(request, std::move(listener));
}
void HttpClient::at(Microseconds time_us, std::function<void()> work) { impl_->at(time_us, std::move(work)); }
void HttpClient::run(std::function<bool()> const& stop) { impl_->run(stop); }

WholeResponse ask(HttpClient& client, ClientRequest const& request) {
  auto const collector = std::make_shared<Collector>();
  client.send(request, collector);
  client.run();
  if (!collector->error.empty()) throw ServerUnreachable("the server " + collector->error);
  return std::move(collector->response);
}

}  // namespace windlass
