/// HTTP/1.1 on TCP or a UNIX socket, with threads of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "src/api/http.hpp"
#include "src/core/clock.hpp"

namespace windlass {

/// Limits keep a client from holding what others need; each one answers with its status and closes the connection.
struct HttpServerConfig {
  std::string host = "127.0.0.1";             ///< address to listen on
  std::uint16_t port = 0;                     ///< 0: a free one
  std::string socket_path;                    ///< not empty: a UNIX socket there (mode 0600) instead of TCP
  std::string tls_certificate, tls_key;       ///< PEM files; empty: no TLS
  int threads = 1;                            ///< loops
  int max_connections = 4096;                 ///< above: 503
  std::uint32_t max_header_bytes = 16 << 10;  ///< above: 431
  std::uint64_t max_body_bytes = std::uint64_t{32} << 20;  ///< above: 413
  std::size_t max_unsent_bytes = std::size_t{8} << 20;     ///< of a stream whose client does not read: it is cut
  Microseconds header_us = 10'000'000;                     ///< from a request's first byte to the end of its head: 408
  Microseconds body_us = 60'000'000;                       ///< from there to the end of its body: 408
  Microseconds idle_us = 120'000'000;                      ///< between requests
  Microseconds stall_us = 60'000'000;                      ///< a client that takes nothing of its answer
};

class HttpServer {
 public:
  /// Listens from here on. `handler` must outlive this. Throws InputError where the address cannot be had, or a
  /// certificate cannot be read.
  HttpServer(HttpServerConfig const& config, HttpHandler& handler);
  ~HttpServer();
  HttpServer(HttpServer const&) = delete;
  HttpServer& operator=(HttpServer const&) = delete;

  std::uint16_t port() const;  ///< 0 for a UNIX socket
  int loops() const;
  int connections() const;  ///< open now
  /// Calls `work` on the thread of a loop, soon. Safe from any thread.
  void post(int loop, std::function<void()> work);
  /// Accepts nothing more, waits until answers in progress are sent, at most `patience_us`, and closes everything.
  /// Called once, from none of the loops.
  void stop(Microseconds patience_us);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace windlass
