#include "src/model/model_text.hpp"

#include <filesystem>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/file_bytes.hpp"
#include "src/model/json_reader.hpp"

namespace windlass {
namespace {

constexpr std::uint64_t max_template_bytes = 4 << 20;
constexpr std::uint64_t max_tokenizer_config_bytes = 64 << 20;

/// The template in an object's "chat_template": a text, or a list of {name, template} with one called "default".
std::string template_in(std::string const& path) {
  boost::json::object const object = parse_json_object(read_text_file(path, max_tokenizer_config_bytes), path);
  JsonReader const config(object, path);
  boost::json::value const* const value = config.find("chat_template");
  if (value == nullptr) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (!value->is_array()) config.fail("chat_template", "is neither a text nor a list of named templates");
  for (boost::json::value const& element : value->get_array()) {
    if (!element.is_object()) config.fail("chat_template", "has an element that is not an object");
    JsonReader const named(element.get_object(), path + ": chat_template");
    if (named.text("name") == "default") return named.text("template").value_or("");
  }
  config.fail("chat_template", "has no template called \"default\"; give one by --chat-template");
}

std::string template_of_folder(std::string const& folder) {
  if (std::filesystem::exists(folder + "/chat_template.jinja"))
    return read_text_file(folder + "/chat_template.jinja", max_template_bytes);
  for (char const* const name : {"/tokenizer_config.json", "/chat_template.json"}) {
    if (!std::filesystem::exists(folder + name)) continue;
    if (std::string found = template_in(folder + name); !found.empty()) return found;
  }
  return {};
}

void use_template(ModelText& text, std::string source, std::string const& name) {
  text.tool_calls = tool_call_format_of(source);
  text.reasoning = source.find("</think>") != std::string::npos;
  text.chat_template = std::make_unique<ChatTemplate>(std::move(source), name);
}

void set_chat_template(ModelText& text, TextParts const& parts) {
  try {
    std::string source = parts.chat_template();
    if (source.empty())
      text.chat_template_problem = parts.name + ": has no chat template; give one by --chat-template FILE";
    else
      use_template(text, std::move(source), parts.name);
  } catch (InputError const& error) {
    text.chat_template_problem = error.what();
  }
}

}  // namespace

TextParts text_parts_of(Metadata const& gguf) {
  return {.tokenizer = [&gguf] { return tokenizer_from_gguf(gguf); },
          .chat_template = [&gguf]() -> std::string {
            MetadataValue const* const value = gguf.find("tokenizer.chat_template");
            auto const* const source = value == nullptr ? nullptr : std::get_if<std::string>(value);
            return source == nullptr ? "" : *source;
          },
          .name = gguf.source()};
}

TextParts text_parts_of(std::string const& folder) {
  return {.tokenizer = [&folder] { return tokenizer_from_folder(folder); },
          .chat_template = [&folder] { return template_of_folder(folder); },
          .name = folder};
}

ModelText load_text(TextParts const& parts, std::string const& chat_template_file) {
  ModelText out;
  try {
    out.tokenizer = parts.tokenizer();
  } catch (InputError const& error) {
    out.tokenizer_problem = error.what();
  }
  if (chat_template_file.empty())
    set_chat_template(out, parts);
  else
    use_template(out, read_text_file(chat_template_file, max_template_bytes), chat_template_file);
  return out;
}

}  // namespace windlass
