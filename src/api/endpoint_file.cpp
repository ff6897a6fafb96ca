#include "src/api/endpoint_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

std::string host_name() {
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  return name;
}

std::string json_of(EndpointFile::Content const& content) {
  boost::json::object object;
  if (content.address.socket_path.empty())
    object["base_url"] = base_url(content.address);
  else
    object["socket"] = content.address.socket_path;
  if (!content.api_key.empty()) object["api_key"] = content.api_key;
  if (!content.address.certificate.empty()) object["certificate"] = content.address.certificate;
  object["model"] = content.model;
  object["pid"] = ::getpid();
  object["host"] = host_name();
  return boost::json::serialize(object) + "\n";
}

void write_private(std::string const& path, std::string const& words) {
  std::string const fresh = text(path, ".", ::getpid());
  ::unlink(fresh.c_str());
  int const file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) throw FileError(fresh, "create the endpoint file", errno);
  ssize_t const written = ::write(file, words.data(), words.size());
  int const problem = errno;
  ::close(file);
  if (written != ssize_t(words.size())) {
    ::unlink(fresh.c_str());
    throw FileError(fresh, "write the endpoint file", problem);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) throw FileError(path, "replace the endpoint file", errno);
}

}  // namespace

std::string base_url(EndpointAddress const& address) {
  if (!address.socket_path.empty()) return "http://localhost/v1";
  bool const ip_6 = address.host.find(':') != std::string::npos;
  char const* const scheme = address.certificate.empty() ? "http://" : "https://";
  return text(scheme, ip_6 ? "[" : "", address.host, ip_6 ? "]" : "", ":", address.port, "/v1");
}

EndpointFile::EndpointFile(std::string path, Content const& content) : path_(std::move(path)), text_(json_of(content)) {
  write_private(path_, text_);
}

EndpointFile::~EndpointFile() {
  std::ifstream in(path_);
  std::string const now((std::istreambuf_iterator<char>(in)), {});
  if (now == text_) ::unlink(path_.c_str());
}

std::string usage_lines(EndpointFile::Content const& content, std::string const& endpoint_file) {
  std::string const key = content.api_key.empty() ? "YOUR_KEY" : content.api_key;
  std::string const& socket = content.address.socket_path;
  std::string lines = text("key and address are in ", endpoint_file, " (readable by you alone); to use the server:\n");
  if (!socket.empty()) {
    lines +=
        text("  curl --unix-socket ", socket, " -H 'Authorization: Bearer ", key, "' http://localhost/v1/models\n");
    lines += text("from elsewhere, after: ssh -N -L 8000:", socket, " ", host_name(), "\n");
    lines += text("  export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=", key, "\n");
    return lines;
  }
  std::uint16_t const port = content.address.port;
  lines += text("  export OPENAI_BASE_URL=", base_url(content.address), " OPENAI_API_KEY=", key, "\n");
  std::string const root = base_url(content.address);
  lines += text("  in a browser: ", root.substr(0, root.size() - 2), "?key=", key, "\n");
  lines +=
      text("from elsewhere, after: ssh -N -L ", port, ":", content.address.host, ":", port, " ", host_name(), "\n");
  lines += text("  export OPENAI_BASE_URL=", content.address.certificate.empty() ? "http" : "https",
                "://127.0.0.1:", port, "/v1 OPENAI_API_KEY=", key, "\n");
  return lines;
}

}  // namespace windlass
