/// The functions that every template finds.
#include <array>
#include <chrono>
#include <ctime>

#include "src/core/text.hpp"
#include "src/model/jinja/print.hpp"
#include "src/model/jinja/runtime.hpp"

namespace windlass::jinja {

namespace {
constexpr std::int64_t max_range = 100000;  ///< items; Jinja's sandbox has the same limit

Value range(Runtime& runtime, Arguments const& arguments) {
  Bound const bound("range", arguments, {"start", "stop", "step"});
  bool const one = !bound.find(1);
  std::int64_t const first = to_integer(bound.required(0), "an integer for range");
  std::int64_t const begin = one ? 0 : first, end = one ? first : bound.integer_or(1, 0);
  std::int64_t const step = bound.integer_or(2, 1);
  if (step == 0) throw Problem("range with a step of zero");
  List out;
  for (__int128 i = begin; step > 0 ? i < end : i > end; i += step) {
    if (std::int64_t(out.items.size()) >= max_range) throw Problem(text("range has more than ", max_range, " items"));
    out.items.push_back(std::int64_t(i));
  }
  runtime.spend(out.items.size() + 1);
  return out;
}

Value dict(Runtime& runtime, Arguments const& arguments) {
  if (arguments.positional.size() > 1) throw Problem("dict takes at most one argument without a name");
  Dict out;
  if (!arguments.positional.empty()) {
    Value const& from = arguments.positional[0];
    if (from.dict()) {
      out = *from.dict();
    } else {
      for (Value const& pair : iterate(runtime, from)) {
        std::vector<Value> const both = iterate(runtime, pair);
        if (both.size() != 2) throw Problem("dict wants pairs");
        out.set(both[0], both[1]);
      }
    }
  }
  for (auto const& [name, value] : arguments.named) out.set(name, value);
  runtime.spend(out.entries.size() + 1);
  return out;
}

Value make_namespace(Runtime& runtime, Arguments const& arguments) {
  Namespace* const made = runtime.new_namespace();
  Value const fields = dict(runtime, arguments);
  for (auto const& [key, value] : fields.dict()->entries) made->set(to_text(key), value);
  return made;
}

Value raise_exception(Runtime&, Arguments const& arguments) {
  Bound const bound("raise_exception", arguments, {"message"});
  throw Raised(to_text(bound.required(0)));
}

Value strftime_now(Runtime& runtime, Arguments const& arguments) {
  Bound const bound("strftime_now", arguments, {"format"});
  std::string const format(bound.text(0));
  std::time_t const now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 512> buffer;
  std::size_t const bytes = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  return runtime.text(std::string(buffer.data(), bytes));
}

constexpr std::pair<std::string_view, Value (*)(Runtime&, Arguments const&)> functions[] = {
    {"range", range},
    {"dict", dict},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now}};
}  // namespace

std::optional<Value> global_function(std::string_view name) {
  for (auto const& [known, function] : functions)
    if (known == name) return Callable{std::string(name), function};
  return std::nullopt;
}

}  // namespace windlass::jinja
