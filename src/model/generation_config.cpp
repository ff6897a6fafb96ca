#include "src/model/generation_config.hpp"

#include <filesystem>

#include "src/model/file_bytes.hpp"
#include "src/model/json_reader.hpp"

namespace windlass {

GenerationConfig read_generation_config(std::string const& folder) {
  std::string const path = folder + "/generation_config.json";
  GenerationConfig out;
  if (!std::filesystem::exists(path)) return out;
  boost::json::object const object = parse_json_object(read_text_file(path, 1 << 20), path);
  JsonReader const config(object, path);
  for (std::int64_t const id : config.integers("eos_token_id")) {
    if (id < 0 || id > 0xffffffff) config.fail("eos_token_id", "is not a token id");
    out.end_tokens.push_back(TokenId(std::uint32_t(id)));
  }
  out.suggested.temperature = config.number("temperature");
  out.suggested.top_p = config.number("top_p");
  out.suggested.min_p = config.number("min_p");
  out.suggested.repetition_penalty = config.number("repetition_penalty");
  if (std::optional<std::int64_t> const top_k = config.integer("top_k")) out.suggested.top_k = int(*top_k);
  return out;
}

}  // namespace windlass
