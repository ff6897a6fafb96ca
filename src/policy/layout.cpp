#include "src/policy/layout.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr int most_ranks = 1'000'000;  ///< of any count: keeps products of counts inside int
constexpr int most_degree = 1024;

[[noreturn]] void refuse(std::string_view item, std::string const& why) {
  throw InputError(text("--layout item '", item, "': ", why,
                        " (write for example mixed=3, or prefill=2xtp2,decode=1xtp4pp2,spare=1, or auto)"));
}

/// Takes the digits at the front of `words`.
std::optional<int> take_count(std::string_view& words, int most) {
  int count = 0;
  auto const [end, failed] = std::from_chars(words.data(), words.data() + words.size(), count);
  if (failed != std::errc{} || count > most || count < 0) return std::nullopt;
  words.remove_prefix(std::size_t(end - words.data()));
  return count;
}

bool take_word(std::string_view& words, std::string_view word) {
  if (words.substr(0, word.size()) != word) return false;
  words.remove_prefix(word.size());
  return true;
}

int take_degree(std::string_view item, std::string_view& words, char const* name) {
  if (!take_word(words, name)) return 1;
  auto const degree = take_count(words, most_degree);
  if (!degree || *degree < 1) refuse(item, text("'", name, "' needs a degree from 1 to ", most_degree));
  return *degree;
}

std::optional<Role> role_called(std::string_view name) {
  for (Role const role : {Role::prefill, Role::decode, Role::mixed})
    if (name == role_name(role)) return role;
  return std::nullopt;
}

InstanceGroup parse_group(std::string_view item, Role role, std::string_view words) {
  InstanceGroup group{.role = role};
  auto const instances = take_count(words, most_ranks);
  if (!instances || *instances < 1) refuse(item, "the number of instances must be 1 or more");
  group.instances = *instances;
  if (take_word(words, "x")) {
    if (words.empty()) refuse(item, "a degree such as tp2 or tp2pp2 must follow 'x'");
    group.tp = take_degree(item, words, "tp");
    group.pp = take_degree(item, words, "pp");
  }
  if (!words.empty()) refuse(item, text("'", words, "' is not understood"));
  if (std::int64_t(group.instances) * group.tp * group.pp > most_ranks)
    refuse(item, text("that is more than ", most_ranks, " ranks"));
  return group;
}

void parse_item(std::string_view item, Layout& layout) {
  std::size_t const equals = item.find('=');
  if (equals == std::string_view::npos) refuse(item, "'=' is missing");
  std::string_view const name = item.substr(0, equals);
  std::string_view words = item.substr(equals + 1);
  if (auto const role = role_called(name)) {
    layout.groups.push_back(parse_group(item, *role, words));
  } else if (name == "spare") {
    auto const ranks = take_count(words, most_ranks);
    if (!ranks || !words.empty()) refuse(item, "the number of spare ranks must be 0 or more");
    layout.spare_ranks += *ranks;
    if (layout.spare_ranks > most_ranks) refuse(item, text("that is more than ", most_ranks, " ranks"));
  } else if (name == "controller") {
    if (words != "dedicated")
      refuse(item, "the controller can only be 'dedicated' (without the item it shares rank 0)");
    layout.controller = ControllerPlace::dedicated;
  } else {
    refuse(item, "there are prefill, decode, mixed, spare and controller");
  }
}

void check_whole(Layout const& layout, bool automatic) {
  auto const has = [&](Role role) {
    return std::any_of(layout.groups.begin(), layout.groups.end(),
                       [&](auto const& group) { return group.role == role; });
  };
  if (automatic && !layout.groups.empty())
    throw InputError("--layout: 'auto' chooses the roles itself; drop the others");
  if (!automatic && layout.groups.empty())
    throw InputError("--layout names no instance; add for example mixed=1, or auto");
  if (has(Role::prefill) && !has(Role::decode) && !has(Role::mixed))
    throw InputError("--layout has prefill instances but nobody to decode; add decode=1 or mixed=1");
  if (has(Role::decode) && !has(Role::prefill) && !has(Role::mixed))
    throw InputError("--layout has decode instances but nobody to prefill; add prefill=1 or mixed=1");
}

}  // namespace

char const* role_name(Role role) {
  switch (role) {
    case Role::prefill:
      return "prefill";
    case Role::decode:
      return "decode";
    case Role::mixed:
      return "mixed";
  }
  return "";
}

int Layout::ranks() const {
  int ranks = spare_ranks + (controller == ControllerPlace::dedicated ? 1 : 0);
  for (InstanceGroup const& group : groups) ranks += group.ranks();
  return ranks;
}

Layout parse_layout(std::string_view words) {
  Layout layout;
  bool automatic = false;
  std::int64_t ranks = 0;
  for (std::size_t begin = 0; begin <= words.size();) {
    std::size_t const end = std::min(words.find(',', begin), words.size());
    std::string_view const item = words.substr(begin, end - begin);
    begin = end + 1;
    if (item == "auto") {
      automatic = true;
      continue;
    }
    parse_item(item, layout);
    ranks = layout.spare_ranks;
    for (InstanceGroup const& group : layout.groups) ranks += group.ranks();
    if (ranks > most_ranks) refuse(item, text("with it the layout has more than ", most_ranks, " ranks"));
  }
  check_whole(layout, automatic);
  return layout;
}

std::string to_text(Layout const& layout) {
  std::string words = layout.is_automatic() ? "auto" : "";
  auto const add = [&](std::string const& item) { words += words.empty() ? item : "," + item; };
  for (InstanceGroup const& group : layout.groups) {
    std::string item = text(role_name(group.role), "=", group.instances);
    if (group.tp > 1 || group.pp > 1) item += "x";
    if (group.tp > 1) item += text("tp", group.tp);
    if (group.pp > 1) item += text("pp", group.pp);
    add(item);
  }
  if (layout.spare_ranks > 0) add(text("spare=", layout.spare_ranks));
  if (layout.controller == ControllerPlace::dedicated) add("controller=dedicated");
  return words;
}

}  // namespace windlass
