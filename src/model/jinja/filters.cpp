#include "src/model/jinja/runtime.hpp"

namespace windlass::jinja {

FilterFunction find_filter(std::string_view name) {
  for (auto const find : {find_text_filter, find_list_filter, find_number_filter})
    if (FilterFunction const found = find(name)) return found;
  return nullptr;
}

}  // namespace windlass::jinja
