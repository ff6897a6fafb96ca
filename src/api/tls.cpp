#include "src/api/tls.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr std::size_t piece_bytes = std::size_t{16} << 10;  // a TLS record

/// OpenSSL's latest complaint, and forgets all of them.
std::string library_error() {
  unsigned long const code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  char const* const reason = ::ERR_reason_error_string(code);
  return reason ? reason : "no reason was given";
}

}  // namespace

struct TlsContext::Handle {
  explicit Handle(SSL_METHOD const* method) : context(::SSL_CTX_new(method)) {
    ensure(context != nullptr, "OpenSSL makes no context");
    ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);  // 34 KiB less for each idle connection
    ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  }
  ~Handle() { ::SSL_CTX_free(context); }
  Handle(Handle const&) = delete;
  Handle& operator=(Handle const&) = delete;
  SSL_CTX* context;
};

TlsContext::TlsContext(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
TlsContext::~TlsContext() = default;

std::shared_ptr<TlsContext const> TlsContext::of_server(std::string const& certificate_file,
                                                        std::string const& key_file) {
  auto handle = std::make_unique<Handle>(::TLS_server_method());
  if (::SSL_CTX_use_certificate_chain_file(handle->context, certificate_file.c_str()) != 1)
    throw InputError(text("--tls-cert ", certificate_file, ": no PEM certificate can be read: ", library_error()));
  if (::SSL_CTX_use_PrivateKey_file(handle->context, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    throw InputError(text("--tls-key ", key_file, ": no PEM private key without a password that belongs to ",
                          certificate_file, " can be read: ", library_error()));
  return std::shared_ptr<TlsContext const>(new TlsContext(std::move(handle)));
}

std::shared_ptr<TlsContext const> TlsContext::of_client(std::string const& ca_file) {
  auto handle = std::make_unique<Handle>(::TLS_client_method());
  ::SSL_CTX_set_verify(handle->context, SSL_VERIFY_PEER, nullptr);
  int const loaded = ca_file.empty() ? ::SSL_CTX_set_default_verify_paths(handle->context)
                                     : ::SSL_CTX_load_verify_locations(handle->context, ca_file.c_str(), nullptr);
  if (loaded != 1) throw InputError(text("--ca-file ", ca_file, ": no PEM certificate can be read: ", library_error()));
  return std::shared_ptr<TlsContext const>(new TlsContext(std::move(handle)));
}

struct TlsSession::Handle {
  explicit Handle(std::shared_ptr<TlsContext const> the_context, SSL_CTX* ssl_context)
      : context(std::move(the_context)), ssl(::SSL_new(ssl_context)) {
    ensure(ssl != nullptr, "OpenSSL makes no session");
    in = ::BIO_new(::BIO_s_mem());
    out = ::BIO_new(::BIO_s_mem());
    ensure(in != nullptr && out != nullptr, "OpenSSL makes no buffer");
    ::SSL_set_bio(ssl, in, out);  // which owns them now
  }
  ~Handle() { ::SSL_free(ssl); }
  Handle(Handle const&) = delete;
  Handle& operator=(Handle const&) = delete;
  std::shared_ptr<TlsContext const> context;
  SSL* ssl;
  BIO *in, *out;
};

TlsSession::TlsSession(std::shared_ptr<TlsContext const> context)
    : handle_(std::make_unique<Handle>(context, context->handle_->context)) {
  ::SSL_set_accept_state(handle_->ssl);
}

TlsSession::TlsSession(std::shared_ptr<TlsContext const> context, std::string const& server_name)
    : handle_(std::make_unique<Handle>(context, context->handle_->context)) {
  ::SSL_set_connect_state(handle_->ssl);
  X509_VERIFY_PARAM* const checked = ::SSL_get0_param(handle_->ssl);
  if (::X509_VERIFY_PARAM_set1_ip_asc(checked, server_name.c_str()) != 1) {
    ::X509_VERIFY_PARAM_set1_host(checked, server_name.c_str(), server_name.size());
    ::SSL_set_tlsext_host_name(handle_->ssl, server_name.c_str());
  }
  ::ERR_clear_error();
  start();
}

TlsSession::~TlsSession() = default;

/// A client speaks first.
void TlsSession::start() { ::SSL_do_handshake(handle_->ssl); }

TlsSession::State TlsSession::receive(std::string_view wire, std::string& plain) {
  if (!problem_.empty()) return State::failed;
  ::ERR_clear_error();
  while (!wire.empty()) {
    int const taken = ::BIO_write(handle_->in, wire.data(), int(std::min<std::size_t>(wire.size(), 1 << 20)));
    ensure(taken > 0, "a buffer in memory takes nothing");
    wire.remove_prefix(std::size_t(taken));
  }
  return read(plain);
}

TlsSession::State TlsSession::read(std::string& plain) {
  for (;;) {
    std::size_t const before = plain.size();
    plain.resize(before + piece_bytes);
    int const count = ::SSL_read(handle_->ssl, plain.data() + before, int(piece_bytes));
    plain.resize(before + std::size_t(std::max(count, 0)));
    if (count > 0) continue;
    int const why = ::SSL_get_error(handle_->ssl, count);
    if (why == SSL_ERROR_ZERO_RETURN) return State::closed;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) break;
    long const verdict = ::SSL_get_verify_result(handle_->ssl);
    problem_ = verdict == X509_V_OK ? library_error() : ::X509_verify_cert_error_string(verdict);
    ::ERR_clear_error();
    return State::failed;
  }
  flush();
  return State::open;
}

void TlsSession::send(std::string_view plain) {
  waiting_ += plain;
  flush();
}

void TlsSession::flush() {
  if (waiting_.empty() || ::SSL_is_init_finished(handle_->ssl) != 1) return;
  ::ERR_clear_error();
  std::string_view left = waiting_;
  while (!left.empty()) {
    int const taken = ::SSL_write(handle_->ssl, left.data(), int(std::min<std::size_t>(left.size(), 1 << 20)));
    if (taken <= 0) break;  // it has failed; reading will say why
    left.remove_prefix(std::size_t(taken));
  }
  waiting_.clear();
}

std::string TlsSession::take_wire() {
  std::string wire(std::size_t(::BIO_ctrl_pending(handle_->out)), '\0');
  if (wire.empty()) return wire;
  int const count =
      ::BIO_read(handle_->out, wire.data(), int(std::min<std::size_t>(wire.size(), std::numeric_limits<int>::max())));
  wire.resize(std::size_t(std::max(count, 0)));
  return wire;
}

bool TlsSession::has_wire() const { return ::BIO_ctrl_pending(handle_->out) > 0; }

std::string TlsSession::close() {
  ::ERR_clear_error();
  if (problem_.empty() && ::SSL_is_init_finished(handle_->ssl) == 1) ::SSL_shutdown(handle_->ssl);
  ::ERR_clear_error();
  return take_wire();
}

}  // namespace windlass
