/// The file that tells clients where a server listens and with which key.
#pragma once

#include <cstdint>
#include <string>

namespace windlass {

struct EndpointAddress {
  std::string host;  ///< as clients reach it; unused with a socket
  std::uint16_t port = 0;
  std::string socket_path;       ///< not empty: a UNIX socket
  std::string certificate = "";  ///< of a server with TLS; empty: there is none
};

/// "http://HOST:PORT/v1", with TLS "https://…"; for a socket "http://localhost/v1".
std::string base_url(EndpointAddress const& address);

/// {"base_url" or "socket", "api_key", "certificate", "model", "pid", "host"}; mode 0600 from its first moment on.
/// Removed again by the destructor where it is still this server's.
class EndpointFile {
 public:
  struct Content {
    EndpointAddress address;
    std::string api_key;  ///< empty where users bring their own
    std::string model;
  };
  /// Throws FileError.
  EndpointFile(std::string path, Content const& content);
  ~EndpointFile();
  EndpointFile(EndpointFile const&) = delete;
  EndpointFile& operator=(EndpointFile const&) = delete;

 private:
  std::string path_, text_;
};

/// What to type to use the server: export lines for clients, curl, and an SSH tunnel from elsewhere.
std::string usage_lines(EndpointFile::Content const& content, std::string const& endpoint_file);

}  // namespace windlass
