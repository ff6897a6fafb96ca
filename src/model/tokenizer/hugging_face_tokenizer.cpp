/// Tokenizers from Hugging Face folders: tokenizer.json, and what tokenizer_config.json adds to it.
#include <filesystem>
#include <map>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/hugging_face_parts.hpp"

namespace windlass {

namespace {
namespace json = boost::json;

/// A field that is a string or an added token's object.
std::string token_text(JsonNode const& node) {
  if (!node.present()) return {};
  return std::string(node.is_text() ? node.text() : node["content"].text());
}

AddedToken read_added_token(JsonNode const& node, TokenNumber id) {
  bool const left = node["lstrip"].flag_or(false), right = node["rstrip"].flag_or(false);
  using Spaces = AddedToken::Spaces;
  return {.content = std::string(node["content"].text()),
          .token = id,
          .boundary =
              node["single_word"].flag_or(false) ? AddedToken::Boundary::whole_word : AddedToken::Boundary::anywhere,
          .spaces = left ? (right ? Spaces::both : Spaces::left) : (right ? Spaces::right : Spaces::none)};
}

class FolderReader {
 public:
  FolderReader(JsonNode tokenizer, JsonNode config) : tokenizer_(std::move(tokenizer)), config_(std::move(config)) {}

  Pipeline read() {
    read_normalizer(tokenizer_["normalizer"], p_.normalizer);
    TextUnit const unit = read_pre_tokenizer(tokenizer_["pre_tokenizer"], p_.pre_tokenizer);
    p_.model = read_word_model(tokenizer_["model"], unit, p_.pre_tokenizer);
    p_.first_space = decoder_.first_space();
    read_vocabulary();
    read_added_tokens();
    fill_token_bytes();
    read_names();
    read_post_processor(tokenizer_["post_processor"]);
    apply_class_conventions();
    return std::move(p_);
  }

 private:
  struct Token {
    std::string bytes;
    bool special = false;
  };

  Token& token(TokenNumber id) {
    if (id >= tokens_.size()) tokens_.resize(id + std::size_t{1});
    return tokens_[id];
  }

  void read_vocabulary() {
    JsonNode const vocabulary = tokenizer_["model"]["vocab"];
    if (vocabulary.is_array()) {
      TokenNumber id = 0;
      for (JsonNode const& entry : vocabulary.items()) token(id++).bytes = decoder_.bytes(entry.item(0).text());
      return;
    }
    for (auto const& entry : vocabulary.object())
      token(TokenNumber(entry.value().get_int64())).bytes = decoder_.bytes(entry.key());
  }

  void add(JsonNode const& node, TokenNumber id) {
    AddedToken added = read_added_token(node, id);
    if (!added_.emplace(added.content, id).second) return;
    bool const special = node["special"].flag_or(false);
    token(id) = {special ? added.content : decoder_.added_bytes(added.content), special};
    if (!node["normalized"].flag_or(!special)) return p_.added.add(std::move(added));
    added.content = p_.normalizer.apply(added.content);
    p_.added_normalized.add(std::move(added));
  }

  void read_added_tokens() {
    for (JsonNode const& node : tokenizer_["added_tokens"].items()) add(node, node["id"].token());
    JsonNode const more = config_["added_tokens_decoder"];
    if (!more.present()) return;
    for (auto const& entry : more.object()) {
      std::string_view const key = entry.key();
      bool const digits =
          !key.empty() && key.size() < 9 && key.find_first_not_of("0123456789") == std::string_view::npos;
      if (!digits || std::stoul(std::string(key)) > max_token_number) more.refuse("has a key that is not a token id");
      add(more[key], TokenNumber(std::stoul(std::string(key))));
    }
  }

  void fill_token_bytes() {
    p_.token_bytes.reserve(tokens_.size(), tokens_.size() * 8);
    for (Token const& token : tokens_) {
      p_.token_bytes.push_back(token.bytes);
      p_.special.push_back(token.special);
    }
  }

  std::optional<TokenNumber> find(std::string const& content) const {
    if (auto const at = added_.find(content); at != added_.end()) return at->second;
    JsonNode const vocabulary = tokenizer_["model"]["vocab"];
    if (content.empty() || vocabulary.is_array() || !vocabulary[content].present()) return std::nullopt;
    return vocabulary[content].token();
  }

  /// tokenizer_config.json names the tokens of its roles; all of them are special.
  void read_names() {
    p_.bos_text = token_text(config_["bos_token"]);
    p_.eos_text = token_text(config_["eos_token"]);
    if (auto const eos = find(p_.eos_text)) p_.end_tokens.push_back(TokenId{*eos});
    for (auto const* role : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token"})
      if (auto const id = find(token_text(config_[role]))) p_.special[*id] = true;
    if (!config_["additional_special_tokens"].is_array()) return;
    for (JsonNode const& name : config_["additional_special_tokens"].items())
      if (auto const id = find(token_text(name))) p_.special[*id] = true;
  }

  void read_post_processor(JsonNode const& node) {
    if (!node.present()) return;
    std::string_view const type = node["type"].text();
    if (type == "Sequence") {
      for (JsonNode const& step : node["processors"].items()) read_post_processor(step);
    } else if (type == "TemplateProcessing") {
      read_template(node);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      p_.prefix = {TokenId{node["cls"].item(1).token()}};
      p_.suffix = {TokenId{node["sep"].item(1).token()}};
    } else if (type != "ByteLevel") {
      node["type"].refuse(std::string("'").append(type).append("' is not supported; send token ids"));
    }
  }

  void read_template(JsonNode const& node) {
    bool before_text = true;
    p_.prefix.clear();
    p_.suffix.clear();
    for (JsonNode const& part : node["single"].items()) {
      if (part["Sequence"].present()) {
        before_text = false;
        continue;
      }
      JsonNode const token = node["special_tokens"][part["SpecialToken"]["id"].text()];
      for (JsonNode const& id : token["ids"].items())
        (before_text ? p_.prefix : p_.suffix).push_back(TokenId{id.token()});
    }
  }

  /// transformers' Llama and Gemma classes obey add_bos_token and add_eos_token, whatever tokenizer.json says.
  void apply_class_conventions() {
    std::string const name = config_["tokenizer_class"].text_or("");
    auto const is = [&](std::string_view family) { return std::string_view(name).substr(0, family.size()) == family; };
    if (!is("Llama") && !is("CodeLlama") && !is("Gemma")) return;
    apply("add_bos_token", p_.bos_text, p_.prefix);
    apply("add_eos_token", p_.eos_text, p_.suffix);
  }

  void apply(std::string_view field, std::string const& content, std::vector<TokenId>& ids) const {
    if (!config_[field].present()) return;
    auto const id = find(content);
    ids.clear();
    if (config_[field].flag_or(false) && id) ids.push_back(TokenId{*id});
  }

  JsonNode tokenizer_, config_;
  Pipeline p_;
  TokenDecoder decoder_{tokenizer_["decoder"]};
  std::vector<Token> tokens_;  ///< [vocab]
  std::map<std::string, TokenNumber, std::less<>> added_;
};
}  // namespace

Pipeline read_tokenizer_json(JsonNode const& tokenizer, JsonNode const& config) {
  return FolderReader(tokenizer, config).read();
}

std::unique_ptr<Tokenizer> tokenizer_from_folder(std::string const& folder) {
  namespace fs = std::filesystem;
  std::string const tokenizer_file = (fs::path(folder) / "tokenizer.json").string();
  std::string const config_file = (fs::path(folder) / "tokenizer_config.json").string();
  if (!fs::exists(tokenizer_file))
    throw InputError(text(tokenizer_file,
                          " is missing; export it with transformers (save_pretrained with the fast "
                          "tokenizer), or send token ids"));
  json::monotonic_resource memory;
  json::value const tokenizer = read_json_file(tokenizer_file, &memory);
  json::value const config = fs::exists(config_file) ? read_json_file(config_file, &memory) : json::value(nullptr);
  return make_tokenizer(read_tokenizer_json({tokenizer, tokenizer_file}, {config, config_file}));
}

}  // namespace windlass
