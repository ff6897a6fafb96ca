#include "src/grammar/json_formats.hpp"

#include <array>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::grammar {
namespace {

struct Format {
  std::string_view name;
  std::string pattern;
};

std::array<Format, 10> formats() {
  // 29 February in leap years alone, from the year 1000 on.
  std::string const date =
      "(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|"
      "02-(?:0[1-9]|1[0-9]|2[0-8]))|"
      "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)";
  std::string const time =
      "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
  std::string const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  std::string const byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  std::string const word = "[A-Za-z0-9_%+-]+";
  return {Format{"date", date},
          {"time", time},
          {"date-time", date + "T" + time},
          {"duration", "P(?:[0-9]{1,6}W|[0-9]{1,6}D(?:T[0-9]{1,6}[HMS])?|T[0-9]{1,6}[HMS])"},
          {"email", text(word, "(?:\\.", word, "){0,8}@", label, "(?:\\.", label, "){1,3}")},
          {"hostname", text(label, "(?:\\.", label, "){0,3}")},
          {"ipv4", text(byte, "(?:\\.", byte, "){3}")},
          {"ipv6", "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}"},
          {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
          {"uri", text("https?://", label, "(?:\\.", label, "){0,3}(?::[1-9][0-9]{0,3})?(?:/[A-Za-z0-9._~-]*)*",
                       "(?:\\?[A-Za-z0-9._~=&-]*)?(?:#[A-Za-z0-9._~-]*)?")}};
}

}  // namespace

std::string format_pattern(std::string_view format) {
  std::string known;
  for (Format const& one : formats()) {
    if (one.name == format) return one.pattern;
    known += (known.empty() ? "" : ", ") + std::string(one.name);
  }
  throw InputError(text("'format' of a JSON schema is '", format, "'; possible are ", known));
}

}  // namespace windlass::grammar
