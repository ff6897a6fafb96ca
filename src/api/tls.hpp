/// TLS 1.2 and 1.3 between bytes of the wire and plain ones; sockets are somebody else's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace windlass {

/// Keys and trust that sessions share. Safe from any thread once made.
class TlsContext {
 public:
  /// A server's certificate (with those above it) and private key, PEM files. Throws InputError naming the file.
  static std::shared_ptr<TlsContext const> of_server(std::string const& certificate_file, std::string const& key_file);
  /// Trusts those of `ca_file` (PEM), or the system's where it is empty. Throws InputError naming the file.
  static std::shared_ptr<TlsContext const> of_client(std::string const& ca_file);
  ~TlsContext();
  TlsContext(TlsContext const&) = delete;
  TlsContext& operator=(TlsContext const&) = delete;

 private:
  friend class TlsSession;
  struct Handle;
  explicit TlsContext(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

/// One connection. Local.
class TlsSession {
 public:
  /// A server's side; or, with the name or IP address that the server's certificate must be for, a client's.
  explicit TlsSession(std::shared_ptr<TlsContext const> context);
  TlsSession(std::shared_ptr<TlsContext const> context, std::string const& server_name);
  ~TlsSession();
  TlsSession(TlsSession const&) = delete;
  TlsSession& operator=(TlsSession const&) = delete;

  enum class State : unsigned char { open, closed, failed };
  /// Takes what came over the wire and appends what it says to `plain`. closed: the other side has ended it.
  State receive(std::string_view wire, std::string& plain);
  /// Kept until the handshake is done.
  void send(std::string_view plain);
  /// What has to go over the wire now; often empty.
  std::string take_wire();
  bool has_wire() const;
  /// The last words, to be sent in front of the end of the connection.
  std::string close();
  std::string const& problem() const { return problem_; }  ///< of a session that has failed

 private:
  struct Handle;
  void start();
  void flush();
  State read(std::string& plain);
  std::unique_ptr<Handle> handle_;
  std::string waiting_;  ///< plain, until the handshake is done
  std::string problem_;
};

}  // namespace windlass
