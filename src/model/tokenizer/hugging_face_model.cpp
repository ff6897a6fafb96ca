/// tokenizer.json: "model".
#include <algorithm>
#include <cmath>

#include "src/core/text.hpp"
#include "src/model/tokenizer/byte_alphabet.hpp"
#include "src/model/tokenizer/hugging_face_parts.hpp"
#include "src/model/tokenizer/sentence_piece.hpp"

namespace windlass {

namespace {
namespace json = boost::json;

/// A vocabulary entry's id; fields of an object with 100,000 entries are not worth a JsonNode each.
TokenNumber id_of(JsonNode const& vocabulary, json::key_value_pair const& entry) {
  auto const* const id = entry.value().if_int64();
  if (!id || *id < 0 || *id > max_token_number)
    vocabulary.refuse(text("has no valid id for the token '", std::string_view(entry.key()), "'"));
  return TokenNumber(*id);
}

void fill_index(JsonNode const& vocabulary, TextUnit unit, TextIndex& index) {
  json::object const& entries = vocabulary.object();
  index.reserve(entries.size());
  std::string bytes;
  for (json::key_value_pair const& entry : entries) {
    TokenNumber const id = id_of(vocabulary, entry);
    bytes.clear();
    if (unit == TextUnit::characters) {
      index.add(entry.key(), id);
    } else if (append_from_byte_alphabet(bytes, entry.key())) {
      index.add(bytes, id);
    }
  }
}

struct MergeSides {
  std::string_view left, right;
};

/// "a b" or ["a", "b"].
MergeSides sides_of(JsonNode const& merges, json::value const& rule) {
  if (auto const* const pair = rule.if_array();
      pair && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string())
    return {(*pair)[0].get_string(), (*pair)[1].get_string()};
  auto const* const both = rule.if_string();
  std::string_view const whole = both ? std::string_view(*both) : std::string_view{};
  std::size_t const space = whole.find(' ', 1);
  if (space == std::string_view::npos) merges.refuse("has an entry that is not two texts");
  return {whole.substr(0, space), whole.substr(space + 1)};
}

/// Merge rules whose texts are tokens; others can never apply. Calls each(result text) for the rules taken.
template <class Each>
MergeTable read_merges(JsonNode const& merges, TextUnit unit, TextIndex const& index, Each const& each) {
  json::array const& rules = merges.array();
  MergeTable table;
  table.reserve(rules.size());
  std::string joined;
  for (std::size_t rank = 0; rank < rules.size(); ++rank) {
    MergeSides const sides = sides_of(merges, rules[rank]);
    joined.clear();
    std::size_t left_bytes = sides.left.size();
    if (unit == TextUnit::characters) {
      joined.append(sides.left).append(sides.right);
    } else {
      if (!append_from_byte_alphabet(joined, sides.left)) continue;
      left_bytes = joined.size();
      if (!append_from_byte_alphabet(joined, sides.right)) continue;
    }
    std::string_view const all = joined;
    TokenNumber const left = index.find(all.substr(0, left_bytes));
    TokenNumber const right = index.find(all.substr(left_bytes));
    TokenNumber const result = index.find(all);
    if (left == no_token || right == no_token || result == no_token) continue;
    table.add(left, right, {std::uint32_t(rank), result});
    each(all);
  }
  return table;
}

void refuse_what_bpe_lacks(JsonNode const& node) {
  for (auto const* field : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!node[field].text_or("").empty()) node[field].refuse("is not supported; send token ids");
  if (node["dropout"].present() && node["dropout"].real() != 0) node["dropout"].refuse("makes token ids random");
}

std::unique_ptr<WordModel const> read_byte_bpe(JsonNode const& node) {
  ByteBpe::Tables tables;
  fill_index(node["vocab"], TextUnit::bytes, tables.index);
  tables.merges = read_merges(node["merges"], TextUnit::bytes, tables.index, [](std::string_view) {});
  tables.whole_words = node["ignore_merges"].flag_or(false) ? WholeWords::take : WholeWords::merge;
  if (node["unk_token"].present()) tables.unknown = tables.index.find(node["unk_token"].text());
  if (node["fuse_unk"].flag_or(false)) tables.unknowns = Unknowns::fused;
  return std::make_unique<ByteBpe>(std::move(tables));
}

std::array<TokenNumber, 256> byte_tokens_of(TextIndex const& index) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  auto tokens = Fallback::no_byte_tokens();
  for (std::size_t byte = 0; byte < 256; ++byte)
    tokens[byte] = index.find(text("<0x", digits[byte / 16], digits[byte % 16], '>'));
  return tokens;
}

/// Where no token has a space mark behind something else, cutting before space marks changes no result; it lets the
/// words be cached.
void cut_before_marks(TextIndex const& index, PreTokenizer& pre_tokenizer) {
  if (index.find(space_mark) != no_token) pre_tokenizer.add(WordStartStep{std::string(space_mark)});
}

std::unique_ptr<WordModel const> read_character_bpe(JsonNode const& node, PreTokenizer& pre_tokenizer) {
  CharacterBpe::Tables tables;
  fill_index(node["vocab"], TextUnit::characters, tables.index);
  bool inner_marks = false;
  tables.merges = read_merges(node["merges"], TextUnit::characters, tables.index,
                              [&](std::string_view result) { inner_marks = inner_marks || has_inner_mark(result); });
  if (node["ignore_merges"].flag_or(false)) {
    tables.whole_words = WholeWords::take;
    for (auto const& entry : node["vocab"].object()) inner_marks = inner_marks || has_inner_mark(entry.key());
  }
  if (node["byte_fallback"].flag_or(false)) tables.fallback.byte_tokens = byte_tokens_of(tables.index);
  if (node["unk_token"].present()) tables.fallback.unknown = tables.index.find(node["unk_token"].text());
  if (node["fuse_unk"].flag_or(false)) tables.fallback.unknowns = Unknowns::fused;
  if (!inner_marks) cut_before_marks(tables.index, pre_tokenizer);
  return std::make_unique<CharacterBpe>(std::move(tables));
}

std::unique_ptr<WordModel const> read_unigram(JsonNode const& node, PreTokenizer& pre_tokenizer) {
  constexpr double unknown_penalty = 10;  // as SentencePiece has it
  Unigram::Tables tables;
  TextIndex index;
  double lowest = 0;
  bool inner_marks = false;
  std::vector<JsonNode> const entries = node["vocab"].items();
  for (std::size_t id = 0; id < entries.size(); ++id) {
    std::vector<JsonNode> const pair = entries[id].items();
    if (pair.size() != 2 || !std::isfinite(pair[1].real())) entries[id].refuse("is not [text, score]");
    tables.trie.add(pair[0].text(), TokenNumber(id));
    tables.scores.push_back(pair[1].real());
    index.add(pair[0].text(), TokenNumber(id));
    lowest = std::min(lowest, tables.scores.back());
    inner_marks = inner_marks || has_inner_mark(pair[0].text());
  }
  tables.unknown_score = lowest - unknown_penalty;
  tables.fallback.unknowns = Unknowns::fused;
  if (node["unk_id"].present()) tables.fallback.unknown = node["unk_id"].token();
  if (node["byte_fallback"].flag_or(false)) tables.fallback.byte_tokens = byte_tokens_of(index);
  if (!inner_marks) cut_before_marks(index, pre_tokenizer);
  return std::make_unique<Unigram>(std::move(tables));
}
}  // namespace

std::unique_ptr<WordModel const> read_word_model(JsonNode const& node, TextUnit unit, PreTokenizer& pre_tokenizer) {
  std::string const type = node["type"].text_or("BPE");
  if (type == "Unigram") {
    if (unit == TextUnit::bytes) node.refuse("is a Unigram model behind ByteLevel, which is not supported");
    return read_unigram(node, pre_tokenizer);
  }
  if (type != "BPE") node["type"].refuse("'" + type + "' is not supported (BPE and Unigram are); send token ids");
  refuse_what_bpe_lacks(node);
  return unit == TextUnit::bytes ? read_byte_bpe(node) : read_character_bpe(node, pre_tokenizer);
}

}  // namespace windlass
