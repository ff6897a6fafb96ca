/// HTTP as the layers above see it: requests, responses, and an answer on its way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/api/user_limits.hpp"

namespace windlass {

/// What is known of a request before its body is read.
struct HttpHead {
  std::string method;         ///< HEAD is told as GET; its response leaves without a body
  std::string path;           ///< without the query
  std::string query;          ///< behind '?'
  std::string authorization;  ///< value of that header; empty: none
  std::string content_type;   ///< of the body; empty: not told
  std::string user;           ///< whose key it has, once refuse() found out
  UserLimits limits;          ///< theirs
};

struct HttpRequest {
  HttpHead head;
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  ///< further ones
};

/// One request's answer on its way to the client: either respond() once, or begin_events(), send_event()…,
/// end_events(). Calls from the thread of its loop only. Where the client has left, they do nothing.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual int loop() const = 0;   ///< index of the loop whose thread owns this: HttpServer::post
  virtual bool open() const = 0;  ///< the client is there, and the answer is not complete
  virtual void respond(HttpResponse response) = 0;
  virtual void begin_events() = 0;                     ///< status 200 and server-sent events
  virtual void send_event(std::string_view data) = 0;  ///< one line of data
  virtual void end_events() = 0;
  /// Called on the loop's thread if the client leaves before the answer is complete; at most once.
  virtual void on_leave(std::function<void()> left) = 0;
};

/// Answers requests. Safe from any thread; must not block: a loop serves many connections.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  /// Looks at the head before the body is read: the response to a request that shall go no further.
  virtual std::optional<HttpResponse> refuse(HttpHead& head) = 0;
  virtual void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) = 0;
};

}  // namespace windlass
