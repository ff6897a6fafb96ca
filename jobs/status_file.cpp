#include "jobs/status_file.hpp"

#include <unistd.h>

#include "src/serve/json_text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {

void StatusFile::write(std::string const& word, std::string const& detail) const {
  if (path_.empty()) return;
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  JsonText out;
  out.begin_object()
      .member("pid", int(::getpid()))
      .member("host", std::string(host))
      .member("detail", detail)
      .end_object();
  replace_file(path_, word + "\n" + out.take() + "\n");
}

}  // namespace windlass
