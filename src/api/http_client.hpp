/// HTTP/1.1 as a client: any number of requests at a time, all on the thread that calls run().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "src/core/clock.hpp"

namespace windlass {

enum class UrlScheme : std::uint8_t { http, https };

struct ServerAddress {
  UrlScheme scheme = UrlScheme::http;
  std::string host;  ///< a name or an IP address; unused with a socket
  std::uint16_t port = 80;
  std::string socket_path;  ///< not empty: a UNIX socket
  std::string path;         ///< in front of the routes, such as "/v1"; without '/' at its end
  std::string ca_file;      ///< of certificates that https trusts; empty: the system's
};

/// "http://HOST[:PORT][/PATH]", also "https://[::1]:8000/v1". Throws InputError that says what is wrong.
ServerAddress parse_server_url(std::string const& url);

struct ClientRequest {
  std::string method = "GET";
  std::string route;    ///< behind the address's path, such as "/models"; ones that begin with "//" start at the root
  std::string body;     ///< JSON; not empty
  std::string api_key;  ///< empty: none is sent
};

/// What comes back. Called by HttpClient::run.
class ResponseListener {
 public:
  virtual ~ResponseListener() = default;
  virtual void on_head(int status) = 0;
  virtual void on_body(std::string_view piece) = 0;
  /// The response is complete, or `problem` (not empty) says why it never will be. Nothing follows.
  virtual void on_end(std::string const& problem) = 0;
};

/// No server there, or it left in the middle of its answer.
class ServerUnreachable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Connections are kept and used again. All calls on one thread.
class HttpClient {
 public:
  /// Looks the host up. Throws InputError where it is not known, or a certificate cannot be read. A server that sends
  /// nothing for `patience_us` in the middle of a request is given up.
  HttpClient(ServerAddress const& address, Microseconds patience_us);
  ~HttpClient();
  HttpClient(HttpClient const&) = delete;
  HttpClient& operator=(HttpClient const&) = delete;

  void send(ClientRequest const& request, std::shared_ptr<ResponseListener> listener);
  /// Calls `work` from run() at that time.
  void at(Microseconds time_us, std::function<void()> work);
  /// Until every response has ended and all work is done, or `stop` (asked 50 times a second) says so: then
  /// connections that wait for something are closed, and their listeners hear no more.
  void run(std::function<bool()> const& stop = nullptr);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

struct WholeResponse {
  int status = 0;
  std::string body;
};

/// One request, its whole response. Throws ServerUnreachable.
WholeResponse ask(HttpClient& client, ClientRequest const& request);

}  // namespace windlass
