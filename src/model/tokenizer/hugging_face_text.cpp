/// tokenizer.json: what happens to a text before and after the model: normalizer, pre_tokenizer, decoder.
#include <algorithm>

#include "src/model/tokenizer/byte_alphabet.hpp"
#include "src/model/tokenizer/hugging_face_parts.hpp"
#include "src/model/tokenizer/pre_rules.hpp"
#include "src/model/tokenizer/sentence_piece.hpp"

namespace windlass {

std::string from_base64(JsonNode const& node) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (char const c : node.text()) {
    if (c == '=') break;
    std::size_t const digit = digits.find(c);
    if (digit == std::string_view::npos) node.refuse("is not base64");
    bits = bits << 6 | std::uint32_t(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += char(bits >> count & 0xFF);
  }
  return out;
}

Pattern read_pattern(JsonNode const& node) {
  if (node["String"].present()) return Pattern::literal(std::string(node["String"].text()));
  return Pattern::regex(std::string(node["Regex"].text()));
}

PrefixScheme metaspace_scheme(JsonNode const& node) {
  if (!node["prepend_scheme"].present())
    return node["add_prefix_space"].flag_or(true) ? PrefixScheme::always : PrefixScheme::never;
  std::string_view const scheme = node["prepend_scheme"].text();
  if (scheme == "always") return PrefixScheme::always;
  if (scheme == "first") return PrefixScheme::first;
  if (scheme == "never") return PrefixScheme::never;
  node["prepend_scheme"].refuse("is not always, first or never");
}

void read_normalizer(JsonNode const& node, Normalizer& normalizer) {
  if (!node.present()) return;
  std::string_view const type = node["type"].text();
  if (type == "Sequence") {
    for (JsonNode const& step : node["normalizers"].items()) read_normalizer(step, normalizer);
  } else if (type == "NFC") {
    normalizer.add(NormalizeForm{NormalForm::nfc});
  } else if (type == "NFD") {
    normalizer.add(NormalizeForm{NormalForm::nfd});
  } else if (type == "NFKC") {
    normalizer.add(NormalizeForm{NormalForm::nfkc});
  } else if (type == "NFKD") {
    normalizer.add(NormalizeForm{NormalForm::nfkd});
  } else if (type == "Prepend") {
    normalizer.add(Prepend{std::string(node["prepend"].text())});
  } else if (type == "Replace") {
    normalizer.add(Replace{read_pattern(node["pattern"]), std::string(node["content"].text())});
  } else if (type == "Lowercase") {
    normalizer.add(Lowercase{});
  } else if (type == "StripAccents") {
    normalizer.add(StripAccents{});
  } else if (type == "Strip") {
    if (node["strip_left"].flag_or(true)) normalizer.add(Strip{StripSide::left});
    if (node["strip_right"].flag_or(true)) normalizer.add(Strip{StripSide::right});
  } else if (type == "Precompiled") {
    normalizer.add(MapCharacters{std::make_shared<CharacterMap>(from_base64(node["precompiled_charsmap"]))});
  } else {
    node["type"].refuse(std::string("'").append(type).append("' is not supported; send token ids"));
  }
}

namespace {
SplitBehavior behavior_of(JsonNode const& node, SplitBehavior otherwise) {
  if (!node.present()) return otherwise;
  std::string_view const name = node.text();
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  node.refuse("names no known behaviour");
}

class PreTokenizerReader {
 public:
  explicit PreTokenizerReader(PreTokenizer& out) : out_(out) {}

  void read(JsonNode const& node) {
    if (!node.present()) return;
    std::string_view const type = node["type"].text();
    if (type == "Sequence") {
      for (JsonNode const& step : node["pretokenizers"].items()) read(step);
    } else if (type == "ByteLevel") {
      byte_level(node);
    } else if (type == "Split") {
      split(node);
    } else if (type == "Metaspace") {
      metaspace(node);
    } else {
      simple(type, node);
    }
  }

  TextUnit finish() {
    if (!mapped_) return TextUnit::characters;
    // The model reads bytes: a mapping that nobody looks at afterwards is left out, another one is undone.
    if (std::holds_alternative<ToByteAlphabetStep>(out_.steps().back())) {
      out_.steps().pop_back();
    } else {
      out_.add(FromByteAlphabetStep{});
    }
    return TextUnit::bytes;
  }

 private:
  void byte_level(JsonNode const& node) {
    if (mapped_) node.refuse("is a second ByteLevel, which is not supported; send token ids");
    if (node["add_prefix_space"].flag_or(true)) out_.add(PrefixStep{.prefix = " "});
    if (node["use_regex"].flag_or(true)) out_.add(SplitStep{.pattern = Pattern::regex(std::string(gpt2_expression))});
    out_.add(ToByteAlphabetStep{});
    mapped_ = true;
  }

  void split(JsonNode const& node) {
    out_.add(SplitStep{.pattern = read_pattern(node["pattern"]),
                       .behavior = behavior_of(node["behavior"], SplitBehavior::isolated),
                       .at = node["invert"].flag_or(false) ? SplitAt::gaps : SplitAt::matches});
  }

  void metaspace(JsonNode const& node) {
    std::string const mark = node["replacement"].text_or(space_mark);
    if (mark.empty()) node["replacement"].refuse("is empty");
    out_.add(ReplaceStep{" ", mark});
    out_.add(PrefixStep{mark, metaspace_scheme(node)});
    if (node["split"].flag_or(true))
      out_.add(SplitStep{.pattern = Pattern::literal(mark), .behavior = SplitBehavior::merged_with_next});
  }

  void simple(std::string_view type, JsonNode const& node) {
    if (type == "Digits") {
      bool const each = node["individual_digits"].flag_or(false);
      out_.add(SplitStep{.pattern = Pattern::regex(each ? R"(\p{N})" : R"(\p{N}+)")});
    } else if (type == "Whitespace") {
      out_.add(SplitStep{Pattern::regex(R"(\w+|[^\p{L}\p{M}\p{Nd}\p{Pc}\s]+)"), SplitBehavior::removed, SplitAt::gaps});
    } else if (type == "WhitespaceSplit") {
      out_.add(SplitStep{Pattern::regex(R"(\s)"), SplitBehavior::removed});
    } else if (type == "Punctuation") {
      out_.add(
          SplitStep{Pattern::regex(R"([\p{P}$+<=>^`|~])"), behavior_of(node["behavior"], SplitBehavior::isolated)});
    } else if (type == "CharDelimiterSplit") {
      out_.add(SplitStep{Pattern::literal(std::string(node["delimiter"].text())), SplitBehavior::removed});
    } else {
      node["type"].refuse(std::string("'").append(type).append("' is not supported; send token ids"));
    }
  }

  PreTokenizer& out_;
  bool mapped_ = false;  ///< to the byte alphabet
};
}  // namespace

TextUnit read_pre_tokenizer(JsonNode const& node, PreTokenizer& pre_tokenizer) {
  PreTokenizerReader reader(pre_tokenizer);
  reader.read(node);
  return reader.finish();
}

void TokenDecoder::add(JsonNode const& node) {
  if (!node.present()) return;
  std::string_view const type = node["type"].text();
  if (type == "Sequence") {
    for (JsonNode const& step : node["decoders"].items()) add(step);
  } else if (type == "ByteLevel") {
    unit_ = TextUnit::bytes;
  } else if (type == "ByteFallback") {
    byte_tokens_ = true;
  } else if (type == "Replace") {
    Replacement replacement{std::string(node["pattern"]["String"].text()), std::string(node["content"].text())};
    if (replacement.from.empty()) node["pattern"]["String"].refuse("is empty");
    replacements_.push_back(std::move(replacement));
  } else if (type == "Metaspace") {
    add_metaspace(node);
  } else if (type == "Strip") {
    if (node["content"].text_or(" ") != " " || node["stop"].real() != 0 || node["start"].real() > 1)
      node.refuse("strips other than one space at the start, which is not supported; send token ids");
    if (node["start"].real() == 1) first_space_ = FirstSpace::drop;
  } else if (type != "Fuse") {
    node["type"].refuse(std::string("'").append(type).append("' is not supported; send token ids"));
  }
}

void TokenDecoder::add_metaspace(JsonNode const& node) {
  replacements_.push_back({node["replacement"].text_or(space_mark), " "});
  if (replacements_.back().from.empty()) node["replacement"].refuse("is empty");
  if (metaspace_scheme(node) != PrefixScheme::never) first_space_ = FirstSpace::drop;
}

std::string TokenDecoder::bytes(std::string_view text) const {
  std::string out;
  if (unit_ == TextUnit::bytes && append_from_byte_alphabet(out, text)) return out;
  if (auto const byte = byte_tokens_ ? byte_of_token(text) : std::nullopt) return std::string(1, char(*byte));
  return added_bytes(text);
}

std::string TokenDecoder::added_bytes(std::string_view text) const {
  std::string now(text);
  for (Replacement const& replacement : replacements_) {
    std::string next;
    for (std::size_t at = 0; at < now.size();) {
      std::size_t const found = std::min(now.find(replacement.from, at), now.size());
      next.append(now, at, found - at);
      if (found < now.size()) next += replacement.to;
      at = found + replacement.from.size();
    }
    now = std::move(next);
  }
  return now;
}

}  // namespace windlass
