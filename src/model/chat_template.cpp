#include "src/model/chat_template.hpp"

#include <boost/json.hpp>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/jinja/interpreter.hpp"
#include "src/model/jinja/parser.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

struct ChatTemplate::Program {
  std::string name;
  jinja::Body body;
};

ChatTemplate::ChatTemplate(std::string source, std::string name) {
  if (std::size_t const bad = first_invalid_utf8(source); bad != source.size())
    throw InputError(text(name, ": the chat template is not UTF-8 at byte ", bad));
  jinja::Body body = jinja::parse(jinja::tokenize(source, name), name);
  program_ = std::make_unique<Program const>(Program{std::move(name), std::move(body)});
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(boost::json::object const& variables) const {
  jinja::Value const values = jinja::from_json(variables);
  return jinja::render(program_->body, program_->name, *values.dict());
}

}  // namespace windlass
