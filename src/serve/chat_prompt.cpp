#include "src/serve/chat_prompt.hpp"

#include <boost/json.hpp>
#include <string_view>

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
constexpr std::string_view white_space = " \t\n\v\f\r";

[[noreturn]] void refuse(std::string message, char const* param = "messages") {
  throw ApiError({.message = std::move(message), .param = param, .code = "invalid_value"});
}

std::string text_of_parts(json::array const& parts, std::string const& where) {
  std::string all;
  for (json::value const& part : parts) {
    if (!part.is_object()) refuse(text(where, ".content must be a string or a list of parts"));
    Fields const fields(part.get_object());
    auto const type = fields.string("type").value_or("");
    if (type != "text") refuse(text(where, ".content has a part of type '", type, "'; this model reads only 'text'"));
    auto const words = fields.string("text");
    if (!words) refuse(text(where, ".content has a part without 'text'"));
    if (!all.empty()) all += '\n';
    all += *words;
  }
  return all;
}

/// Clients send arguments as a JSON text; templates loop over them as an object.
void open_tool_arguments(json::object& message) {
  json::value* const calls = message.if_contains("tool_calls");
  if (!calls || !calls->is_array()) return;
  for (json::value& call : calls->get_array()) {
    json::object* const fields = call.if_object();
    json::value* const function = fields ? fields->if_contains("function") : nullptr;
    json::value* const arguments =
        function && function->is_object() ? function->get_object().if_contains("arguments") : nullptr;
    if (!arguments || !arguments->is_string()) continue;
    json::error_code failed;
    json::value parsed = json::parse(arguments->get_string(), failed);
    if (!failed && parsed.is_object()) *arguments = std::move(parsed);
  }
}

json::object checked_message(json::value const& value, std::size_t index) {
  std::string const where = text("messages[", index, "]");
  if (!value.is_object()) refuse(text(where, " must be an object with 'role' and 'content'"));
  json::object message = value.get_object();
  json::value const* const role = message.if_contains("role");
  if (!role || !role->is_string()) refuse(text(where, ".role must be a string such as \"user\""));
  json::value& content = message["content"];
  if (content.is_null()) content = "";
  if (content.is_array()) content = text_of_parts(json::array(content.get_array()), where);
  if (!content.is_string()) refuse(text(where, ".content must be a string or a list of parts"));
  open_tool_arguments(message);
  return message;
}

json::array checked_messages(Fields const& body) {
  json::array const* const given = body.array("messages");
  if (!given || given->empty()) body.refuse("messages", "a list of at least one message");
  json::array messages;
  for (json::value const& message : *given) messages.push_back(checked_message(message, messages.size()));
  return messages;
}

/// Cuts what the template put behind the last message, so that the model goes on with it. A template that trims the
/// message trims it here too.
std::string cut_after_final_message(std::string rendered, std::string_view message) {
  std::size_t const first = message.find_first_not_of(white_space);
  if (first == std::string_view::npos) refuse("'continue_final_message' needs a last message with content");
  std::string_view const left_trimmed = message.substr(first);
  std::string_view const trimmed = left_trimmed.substr(0, left_trimmed.find_last_not_of(white_space) + 1);
  std::size_t const at = rendered.rfind(trimmed);
  if (at == std::string::npos)
    refuse("'continue_final_message' cannot find the last message in what the chat template renders (it changes it)");
  bool const keeps_end = std::string_view(rendered).substr(at).starts_with(left_trimmed);
  rendered.resize(at + (keeps_end ? left_trimmed : trimmed).size());
  return rendered;
}

/// Checks and returns a variable that must be a list of objects, or null.
json::value list_or_null(Fields const& body, char const* key) {
  json::array const* const list = body.array(key);
  if (!list) return nullptr;
  for (json::value const& element : *list)
    if (!element.is_object()) body.refuse(key, "a list of objects");
  return *list;
}

}  // namespace

std::string chat_prompt(Fields const& body, RequestRules const& rules) {
  if (!rules.render_chat)
    refuse(text("this model has no chat template (", rules.chat_problem, "); use /v1/completions or --chat-template"));
  if (body.find("chat_template"))
    refuse("'chat_template' in a request is not supported; use --chat-template", "chat_template");
  bool const go_on = body.boolean("continue_final_message").value_or(false);
  bool const generation_prompt = body.boolean("add_generation_prompt").value_or(!go_on);
  if (go_on && generation_prompt)
    refuse("'continue_final_message' and 'add_generation_prompt' exclude each other; set one of them",
           "continue_final_message");
  json::object variables;
  if (json::object const* const extra = body.object("chat_template_kwargs")) variables = *extra;
  json::array messages = checked_messages(body);
  std::string const last(messages.back().get_object()["content"].get_string());
  variables["messages"] = std::move(messages);
  json::value const* const choice = body.find("tool_choice");
  bool const no_tools = choice && choice->is_string() && choice->get_string() == "none";
  json::value tools = list_or_null(body, "tools");
  variables["tools"] = no_tools ? json::value(nullptr) : std::move(tools);
  variables["documents"] = list_or_null(body, "documents");
  variables["add_generation_prompt"] = generation_prompt;
  if (rules.tokenizer) {
    variables["bos_token"] = rules.tokenizer->bos_text();
    variables["eos_token"] = rules.tokenizer->eos_text();
  }
  try {
    std::string rendered = rules.render_chat(variables);
    return go_on ? cut_after_final_message(std::move(rendered), last) : rendered;
  } catch (ApiError const&) {
    throw;
  } catch (InputError const& error) {
    refuse(text("the chat template refused the messages: ", error.what()));
  }
}

}  // namespace windlass
