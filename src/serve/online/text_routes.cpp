#include "src/serve/online/text_routes.hpp"

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/chat_prompt.hpp"
#include "src/serve/fields.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {
namespace {

Tokenizer const& tokenizer_of(ServedModel const& model) {
  if (!model.rules.tokenizer)
    throw ApiError({.message = text("this model has no tokenizer (", model.rules.tokenizer_problem, ")"),
                    .param = "",
                    .code = "no_tokenizer"});
  return *model.rules.tokenizer;
}

void write_model(JsonText& out, ServedModel const& model) {
  out.begin_object().member("id", model.name).member("object", "model").member("created", model.loaded_s);
  out.member("owned_by", "windlass").member("root", model.name).key("parent").null();
  out.member("max_model_len", model.rules.max_model_len).end_object();
}

}  // namespace

std::string models_body(ServedModel const& model, std::string_view name) {
  JsonText out;
  if (!name.empty()) {
    if (name != model.name)
      throw ApiError({.message = text("the model '", valid_utf8(name.substr(0, 80)),
                                      "' is not served here; this server has '", model.name, "'"),
                      .param = "model",
                      .code = "model_not_found"});
    write_model(out, model);
    return out.take();
  }
  out.begin_object().member("object", "list").key("data").begin_array();
  write_model(out, model);
  out.end_array().end_object();
  return out.take();
}

std::string tokenizer_info_body(ServedModel const& model) {
  Tokenizer const& tokenizer = tokenizer_of(model);
  JsonText out;
  out.begin_object().member("vocab_size", tokenizer.vocab()).member("model_max_length", model.rules.max_model_len);
  out.member("bos_token", valid_utf8(tokenizer.bos_text())).member("eos_token", valid_utf8(tokenizer.eos_text()));
  out.key("eos_token_ids").begin_array();
  for (TokenId const token : tokenizer.end_tokens()) out.value(std::uint64_t(number(token)));
  out.end_array().key("special_tokens").begin_array();
  for (std::uint32_t id = 0; id < std::uint32_t(tokenizer.vocab()); ++id)
    if (tokenizer.is_special(TokenId(id)))
      out.begin_object()
          .member("id", std::uint64_t(id))
          .member("content", valid_utf8(tokenizer.bytes(TokenId(id))))
          .end_object();
  out.end_array().end_object();
  return out.take();
}

std::string tokenize_body(boost::json::object const& request, ServedModel const& model) {
  Fields const body(request);
  Tokenizer const& tokenizer = tokenizer_of(model);
  bool const chat = body.find("messages") != nullptr;
  bool const special = body.boolean("add_special_tokens").value_or(!chat);  // templates write them themselves
  auto const given = body.string("prompt");
  auto const prompt = chat ? std::optional(chat_prompt(body, model.rules)) : given;
  if (!prompt) body.refuse("prompt", "a string (or give 'messages')");
  auto const tokens = tokenizer.encode(*prompt, special ? AddSpecial::yes : AddSpecial::no);
  JsonText out;
  out.begin_object().member("count", std::uint64_t(tokens.size())).member("max_model_len", model.rules.max_model_len);
  out.key("tokens").begin_array();
  for (TokenId const token : tokens) out.value(std::uint64_t(number(token)));
  out.end_array().key("token_strs");
  if (body.boolean("return_token_strs").value_or(false)) {
    out.begin_array();
    for (TokenId const token : tokens) out.value(valid_utf8(tokenizer.bytes(token)));
    out.end_array();
  } else {
    out.null();
  }
  out.end_object();
  return out.take();
}

std::string detokenize_body(boost::json::object const& request, ServedModel const& model) {
  Fields const body(request);
  Tokenizer const& tokenizer = tokenizer_of(model);
  if (!body.find("tokens")) body.refuse("tokens", "a list of token ids");
  auto const tokens = body.token_ids("tokens", model.rules.vocab);
  JsonText out;
  out.begin_object().member("prompt", decode(tokenizer, tokens, SpecialText::keep)).end_object();
  return out.take();
}

}  // namespace windlass
