#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/fields.hpp"
#include "src/serve/online/responses.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(char const* param, std::string message) {
  throw ApiError({.message = std::move(message), .param = param, .code = "unsupported_value"});
}

/// Parts of a response's message are those of a chat under other names.
json::array chat_parts(json::array const& parts, std::string const& where) {
  json::array chat;
  for (json::value const& part : parts) {
    if (!part.is_object()) refuse("input", text(where, ".content has a part that is no object"));
    Fields const fields(part.get_object());
    auto const type = fields.string("type").value_or("");
    auto const words = fields.string("text");
    if ((type != "input_text" && type != "output_text") || !words)
      refuse("input", text(where, ".content has a part of type '", type, "'; this model reads only 'input_text'"));
    chat.push_back(json::object{{"type", "text"}, {"text", *words}});
  }
  return chat;
}

json::object chat_message(json::value const& item, std::size_t index) {
  std::string const where = text("input[", index, "]");
  if (!item.is_object()) refuse("input", text(where, " must be an object with 'role' and 'content'"));
  Fields const fields(item.get_object());
  if (auto const type = fields.string("type"); type && *type != "message")
    refuse("input", text(where, " is of type '", *type, "'; only 'message' is supported"));
  json::value const* const content = fields.find("content");
  if (!content || !fields.string("role")) refuse("input", text(where, " must have 'role' and 'content'"));
  std::string const role = *fields.string("role");
  json::object message{{"role", role == "developer" ? "system" : role}, {"content", *content}};
  if (content->is_array()) message["content"] = chat_parts(content->get_array(), where);
  return message;
}

void refuse_what_needs_more(Fields const& body) {
  for (char const* const field : {"previous_response_id", "conversation", "prompt"})
    if (body.find(field))
      refuse(field, text("'", field, "' is not supported: this server keeps no responses; send the whole input"));
  if (body.boolean("background").value_or(false)) refuse("background", "'background' must be false");
  if (json::array const* const tools = body.array("tools"); tools && !tools->empty())
    refuse("tools", "'tools' is not supported here; use /v1/chat/completions");
}

/// `text.format` as a chat's `response_format`: the schema's fields lie one level deeper there.
void add_response_format(Fields const& body, json::object& chat) {
  json::object const* const options = body.object("text");
  json::object const* const format = options ? Fields(*options).object("format") : nullptr;
  if (!format) return;
  json::object as_chat{{"type", Fields(*format).string("type").value_or("text")}};
  if (as_chat["type"] == "json_schema") as_chat["json_schema"] = *format;
  chat["response_format"] = std::move(as_chat);
}

}  // namespace

json::object chat_of_response(json::object const& given) {
  Fields const body(given);
  refuse_what_needs_more(body);
  json::array messages;
  if (auto const instructions = body.string("instructions"))
    messages.push_back(json::object{{"role", "system"}, {"content", *instructions}});
  json::value const* const input = body.find("input");
  if (!input || (!input->is_string() && !input->is_array())) body.refuse("input", "a string or a list of messages");
  if (input->is_string()) messages.push_back(json::object{{"role", "user"}, {"content", *input}});
  if (json::array const* const items = input->if_array())
    for (std::size_t i = 0; i < items->size(); ++i) messages.push_back(chat_message((*items)[i], i));
  json::object chat;
  for (auto const& [key, value] : given)
    if (key != "input" && key != "instructions" && key != "text" && key != "tools" && key != "tool_choice")
      chat[key] = value;
  chat["messages"] = std::move(messages);
  add_response_format(body, chat);
  if (auto const tokens = body.find("max_output_tokens")) chat["max_completion_tokens"] = *tokens;
  return chat;
}

}  // namespace windlass
