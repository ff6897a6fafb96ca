#include "jobs/chat_session.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <exception>

#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
using CommandEnd = ChatSession::CommandEnd;

constexpr char const* help =
    "  /new            forgets the conversation, not its instructions\n"
    "  /retry          asks the last question again\n"
    "  /undo           forgets the last question and its answer\n"
    "  /system WORDS   instructions for the model; without words: none\n"
    "  /set NAME VALUE a field of the requests, such as temperature 0.7; without a value: the usual one\n"
    "  /show           the conversation so far\n"
    "  /save FILE      writes it as JSON; /load FILE goes on with one\n"
    "  /exit           ends, as Ctrl-D does\n"
    "Ctrl-C stops an answer. Lines between two lines of \"\"\" are one message; //x asks /x.\n";

std::string role_of(json::value const& message) { return json::value_to<std::string>(message.at("role")); }

bool is_message(json::value const& value) {
  if (!value.is_object()) return false;
  json::value const* const role = value.as_object().if_contains("role");
  json::value const* const content = value.as_object().if_contains("content");
  return role && role->is_string() && content && content->is_string();
}

json::object message(char const* role, std::string const& words) { return {{"role", role}, {"content", words}}; }

}  // namespace

ChatSession::ChatSession(std::string model, json::object settings, std::string const& system)
    : model_(std::move(model)), settings_(std::move(settings)) {
  set_system(system);
}

void ChatSession::ask(std::string const& words) { messages_.push_back(message("user", words)); }

void ChatSession::answered(std::string const& words) { messages_.push_back(message("assistant", words)); }

void ChatSession::take_question_back() {
  if (!messages_.empty() && role_of(messages_.back()) == "user") messages_.pop_back();
}

std::string ChatSession::request_body() const {
  json::object body{{"model", model_}, {"messages", messages_}, {"stream", true}};
  for (auto const& field : settings_) body.insert_or_assign(field.key(), field.value());
  return json::serialize(body);
}

CommandEnd ChatSession::command(std::string const& line) {
  std::size_t const space = std::min(line.find(' '), line.size());
  std::string const name = line.substr(1, space - 1);
  std::string const words = line.substr(std::min(line.find_first_not_of(' ', space), line.size()));
  if (name == "exit" || name == "quit" || name == "bye") return {.said = "", .next = CommandEnd::Next::leave};
  if (name == "help" || name == "?") return {.said = help};
  if (name == "set") return set(words);
  if (name == "retry") return retry();
  if (name == "show") return {.said = shown()};
  if (name == "save") return save(words);
  if (name == "load") return load(words);
  if (name == "undo") return {.said = drop_exchange() ? "forgotten\n" : "there is nothing to forget\n"};
  if (name == "system") {
    set_system(words);
    return {.said = words.empty() ? "no instructions\n" : "set\n"};
  }
  if (name != "new" && name != "clear") return {.said = text("there is no /", name, "; /help lists the commands\n")};
  while (!messages_.empty() && role_of(messages_.back()) != "system") messages_.pop_back();
  return {.said = "a new conversation\n"};
}

CommandEnd ChatSession::set(std::string const& words) {
  std::size_t const space = std::min(words.find(' '), words.size());
  std::string const name = words.substr(0, space);
  std::string const value = words.substr(std::min(space + 1, words.size()));
  if (name.empty()) return {.said = json::serialize(settings_) + "\n"};
  if (name == "stream" || name == "messages" || name == "n") return {.said = text(name, " cannot be set in a chat\n")};
  if (value.empty()) {
    settings_.erase(name);
    return {.said = text(name, " is the server's own again\n")};
  }
  json::error_code failed;
  json::value const parsed = json::parse(value, failed);
  settings_[name] = failed ? json::value(value) : parsed;
  return {.said = text(name, " = ", json::serialize(settings_.at(name)), "\n")};
}

CommandEnd ChatSession::retry() {
  if (!messages_.empty() && role_of(messages_.back()) == "assistant") messages_.pop_back();
  if (messages_.empty() || role_of(messages_.back()) != "user") return {.said = "there is no question yet\n"};
  return {.said = "", .next = CommandEnd::Next::ask};
}

CommandEnd ChatSession::save(std::string const& path) const {
  if (path.empty()) return {.said = "/save needs the name of a file\n"};
  try {
    replace_file(path, json::serialize(messages_) + "\n");
  } catch (std::exception const& error) {
    return {.said = text(error.what(), "\n")};
  }
  return {.said = text("written to ", path, "\n")};
}

CommandEnd ChatSession::load(std::string const& path) {
  try {
    auto const content = read_small_file(path);
    if (!content) return {.said = text("there is no file ", path, "\n")};
    json::value const parsed = json::parse(*content);
    if (!parsed.is_array() || !std::ranges::all_of(parsed.as_array(), is_message))
      return {.said = text(path, " is no list of messages with role and content\n")};
    messages_ = parsed.as_array();
  } catch (std::exception const& error) {
    return {.said = text(path, ": ", error.what(), "\n")};
  }
  return {.said = shown()};
}

void ChatSession::set_system(std::string const& words) {
  bool const has_one = !messages_.empty() && role_of(messages_.front()) == "system";
  if (has_one) messages_.erase(messages_.begin());
  if (!words.empty()) messages_.insert(messages_.begin(), message("system", words));
}

bool ChatSession::drop_exchange() {
  while (!messages_.empty() && role_of(messages_.back()) == "assistant") messages_.pop_back();
  if (messages_.empty() || role_of(messages_.back()) != "user") return false;
  messages_.pop_back();
  return true;
}

std::string ChatSession::shown() const {
  std::string all;
  for (json::value const& each : messages_)
    all += text(role_of(each), ": ", json::value_to<std::string>(each.at("content")), "\n");
  return all.empty() ? "nothing was said yet\n" : all;
}

}  // namespace windlass
