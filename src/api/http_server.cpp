#include "src/api/http_server.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "src/api/connection.hpp"
#include "src/api/error_body.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace asio = boost::asio;
using Error = boost::system::error_code;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;

constexpr auto sweep_interval = std::chrono::milliseconds(250);
constexpr auto retry_accept_after = std::chrono::milliseconds(100);

/// Binds with a mask that leaves the socket to its owner: there is no moment at which others could connect.
void bind_private(Local::acceptor& acceptor, std::string const& path) {
  mode_t const before = ::umask(0177);
  Error error;
  acceptor.bind(Local::endpoint(path), error);
  ::umask(before);
  if (error) throw InputError(text("--socket ", path, ": ", error.message()));
}

/// Removes a socket that nobody listens on any more. Throws InputError where the path is in use.
void remove_stale_socket(std::string const& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return;
  if (!S_ISSOCK(status.st_mode))
    throw InputError(text("--socket ", path, " exists and is no socket; name another path"));
  asio::io_context io;
  Local::socket probe(io);
  Error error;
  probe.connect(Local::endpoint(path), error);
  if (!error) throw InputError(text("--socket ", path, ": another server listens there; name another path"));
  ::unlink(path.c_str());
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpServerConfig const& config, HttpHandler& handler) : config_(config) {
    std::shared_ptr<TlsContext const> tls;
    if (!config_.tls_certificate.empty()) tls = TlsContext::of_server(config_.tls_certificate, config_.tls_key);
    for (int i = 0; i < config_.threads; ++i) loops_.push_back(std::make_unique<Loop>(i, config_, handler, tls));
    config_.socket_path.empty() ? listen_tcp() : listen_local();
    for (auto& loop : loops_) {
      sweep(*loop);
      loop->thread = std::jthread([&own = *loop] { own.share.io.run(); });
    }
  }
  ~Impl() { stop(0); }

  void stop(Microseconds patience_us) {
    if (stopped_) return;
    stopped_ = true;
    asio::post(loops_[0]->share.io, [this] {
      Error ignored;
      if (tcp_) tcp_->close(ignored);
      if (local_) local_->close(ignored);
    });
    if (!config_.socket_path.empty()) ::unlink(config_.socket_path.c_str());
    stop_connections(ConnectionLoop::StopStyle::finish);
    Microseconds const end = now_us() + patience_us;
    while (connections() > 0 && now_us() < end) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    stop_connections(ConnectionLoop::StopStyle::at_once);
    for (auto& loop : loops_) {
      asio::post(loop->share.io, [&own = *loop] {
        own.timer.cancel();
        own.work.reset();
        own.share.io.stop();
      });
      loop->thread.join();
    }
  }

  void post(int loop, std::function<void()> work) {
    asio::post(loops_.at(std::size_t(loop))->share.io, std::move(work));
  }
  int connections() const {
    int sum = 0;
    for (auto const& loop : loops_) sum += loop->share.open_connections;
    return sum;
  }
  std::uint16_t port() const { return port_; }
  int loops() const { return int(loops_.size()); }

 private:
  struct Loop {
    Loop(int index, HttpServerConfig const& config, HttpHandler& handler, std::shared_ptr<TlsContext const> const& tls)
        : share(index, config, handler, tls), work(share.io.get_executor()), timer(share.io) {}
    ConnectionLoop share;
    asio::executor_work_guard<asio::io_context::executor_type> work;
    asio::steady_timer timer;
    std::jthread thread;
  };

  void listen_tcp() {
    tcp_.emplace(loops_[0]->share.io);
    Error error;
    auto const address = asio::ip::make_address(config_.host, error);
    if (error)
      throw InputError(text("--host ", config_.host, " is no IP address; use one such as 127.0.0.1 or 0.0.0.0"));
    tcp::endpoint const endpoint(address, config_.port);
    tcp_->open(endpoint.protocol());
    tcp_->set_option(tcp::acceptor::reuse_address(true));
    tcp_->bind(endpoint, error);
    if (error)
      throw InputError(text("--host ", config_.host, " --port ", config_.port, ": ", error.message(),
                            "; use another port, or 0 for a free one"));
    tcp_->listen(asio::socket_base::max_listen_connections);
    port_ = tcp_->local_endpoint().port();
    accept(*tcp_);
  }

  void listen_local() {
    if (config_.socket_path.size() > 100)
      throw InputError(text("--socket ", config_.socket_path, " has ", config_.socket_path.size(),
                            " bytes; the system allows about 100"));
    remove_stale_socket(config_.socket_path);
    local_.emplace(loops_[0]->share.io);
    local_->open();
    bind_private(*local_, config_.socket_path);
    local_->listen(asio::socket_base::max_listen_connections);
    accept(*local_);
  }

  template <class Acceptor>
  void accept(Acceptor& acceptor) {
    Loop& next = *loops_[next_loop_++ % loops_.size()];
    auto const peer = std::make_shared<typename Acceptor::protocol_type::socket>(next.share.io);
    acceptor.async_accept(*peer, [this, &acceptor, &next, peer](Error error) {
      if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
      if (error) return accept_later(acceptor, error);
      if constexpr (std::is_same_v<Acceptor, tcp::acceptor>) peer->set_option(tcp::no_delay(true), error);
      take(next, Connection::Socket(std::move(*peer)));
      accept(acceptor);
    });
  }

  /// No descriptors are left, most often: the waiting clients are asked for again soon.
  template <class Acceptor>
  void accept_later(Acceptor& acceptor, Error error) {
    log_warning_once(text("a connection could not be accepted: ", error.message(), "; trying again"));
    auto timer = std::make_shared<asio::steady_timer>(loops_[0]->share.io, retry_accept_after);
    timer->async_wait([this, &acceptor, timer](Error failed) {
      if (!failed && acceptor.is_open()) accept(acceptor);
    });
  }

  void take(Loop& loop, Connection::Socket socket) {
    if (connections() >= config_.max_connections) {
      static std::string const words =
          "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
      Error ignored;
      socket.non_blocking(true, ignored);
      if (config_.tls_certificate.empty()) socket.write_some(asio::buffer(words), ignored);
      return;
    }
    auto shared = std::make_shared<Connection::Socket>(std::move(socket));
    asio::post(loop.share.io, [&loop, shared] {
      if (!loop.share.stopping) std::make_shared<Connection>(loop.share, std::move(*shared))->start();
    });
  }

  void sweep(Loop& loop) {
    loop.timer.expires_after(sweep_interval);
    loop.timer.async_wait([this, &loop](Error error) {
      if (error) return;
      loop.share.close_overdue();
      sweep(loop);
    });
  }

  void stop_connections(ConnectionLoop::StopStyle style) {
    for (auto& loop : loops_) asio::post(loop->share.io, [&own = *loop, style] { own.share.begin_stop(style); });
  }

  HttpServerConfig const config_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::optional<tcp::acceptor> tcp_;
  std::optional<Local::acceptor> local_;
  std::size_t next_loop_ = 0;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

HttpServer::HttpServer(HttpServerConfig const& config, HttpHandler& handler)
    : impl_(std::make_unique<Impl>(config, handler)) {}
HttpServer::~HttpServer() = default;
std::uint16_t HttpServer::port() const { return impl_->port(); }
int HttpServer::loops() const { return impl_->loops(); }
int HttpServer::connections() const { return impl_->connections(); }
void HttpServer::post(int loop, std::function<void()> work) { impl_->post(loop, std::move(work)); }
void HttpServer::stop(Microseconds patience_us) { impl_->stop(patience_us); }

}  // namespace windlass
