/// What is said in a chat, and the commands that change it.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>

namespace windlass {

/// Local. Messages are OpenAI's.
class ChatSession {
 public:
  /// `settings` are fields of every request; `system` may be empty.
  ChatSession(std::string model, boost::json::object settings, std::string const& system);

  void ask(std::string const& words);       ///< the user's next message
  void answered(std::string const& words);  ///< to the last one
  void take_question_back();                ///< the last one, which has no answer
  std::string request_body() const;

  struct CommandEnd {
    std::string said;  ///< to be printed; lines
    enum class Next : unsigned char { prompt, ask, leave } next = Next::prompt;
  };
  /// A line that begins with '/'. ask: the last message is a question again.
  CommandEnd command(std::string const& line);

 private:
  CommandEnd set(std::string const& words);
  CommandEnd retry();
  CommandEnd save(std::string const& path) const;
  CommandEnd load(std::string const& path);
  void set_system(std::string const& words);
  bool drop_exchange();
  std::string shown() const;

  std::string model_;
  boost::json::object settings_;
  boost::json::array messages_;
};

}  // namespace windlass
