/// Jinja chat templates as model files carry them.
#pragma once

#include <boost/json/fwd.hpp>
#include <memory>
#include <string>

namespace windlass {

/// A parsed template; immutable and safe to use from any thread.
class ChatTemplate {
 public:
  /// Throws InputError naming the unsupported construct and its line. `name` is for messages.
  ChatTemplate(std::string source, std::string name);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// Renders with `variables` (messages, tools, add_generation_prompt, bos_token, eos_token, chat_template_kwargs'
  /// entries …). Throws InputError with the template's own raise_exception message, or naming what went wrong and the
  /// line.
  std::string render(boost::json::object const& variables) const;

  struct Program;

 private:
  std::unique_ptr<Program const> program_;
};

}  // namespace windlass
