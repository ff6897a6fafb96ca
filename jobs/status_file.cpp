#include "jobs/status_file.hpp"

#include <unistd.h>

#include "jobs/exit_codes.hpp"
#include "src/core/error.hpp"
#include "src/serve/json_text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {

void StatusFile::write(std::string const& word, std::string const& detail) const {
  replace(word, detail, word == "done" ? exit_done : word == "failed" ? exit_failed : exit_again);
}

void StatusFile::fail(std::exception const& error) const {
  bool const of_input = dynamic_cast<InputError const*>(&error) != nullptr;
  replace("failed", error.what(), of_input ? exit_usage : exit_failed);
}

void StatusFile::replace(std::string const& word, std::string const& detail, int exit_code) const {
  if (path_.empty()) return;
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  JsonText out;
  out.begin_object()
      .member("pid", int(::getpid()))
      .member("host", std::string(host))
      .member("detail", detail)
      .member("exit_code", exit_code)
      .end_object();
  replace_file(path_, word + "\n" + out.take() + "\n");
}

}  // namespace windlass
