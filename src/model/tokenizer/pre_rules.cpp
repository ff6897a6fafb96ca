#include "src/model/tokenizer/pre_rules.hpp"

#include <algorithm>

namespace windlass {

std::string_view const gpt2_expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {
// The families share their pieces; every model's tokenizer.json has the whole.
#define WINDLASS_CONTRACTIONS R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define WINDLASS_SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define WINDLASS_SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n]*|)"
#define WINDLASS_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define WINDLASS_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define WINDLASS_BEFORE_WORD R"([^\r\n\p{L}\p{N}]?)"

constexpr std::string_view llama3 =
    WINDLASS_CONTRACTIONS "|" WINDLASS_BEFORE_WORD R"(\p{L}+|\p{N}{1,3}|)" WINDLASS_SYMBOLS WINDLASS_SPACES;
constexpr std::string_view qwen2 =
    WINDLASS_CONTRACTIONS "|" WINDLASS_BEFORE_WORD R"(\p{L}+|\p{N}|)" WINDLASS_SYMBOLS WINDLASS_SPACES;
constexpr std::string_view qwen35 = WINDLASS_CONTRACTIONS
    "|" WINDLASS_BEFORE_WORD R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" WINDLASS_SPACES;
constexpr std::string_view tekken =
    WINDLASS_BEFORE_WORD WINDLASS_UPPER "*" WINDLASS_LOWER "+|" WINDLASS_BEFORE_WORD WINDLASS_UPPER "+" WINDLASS_LOWER
                                        R"(*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" WINDLASS_SPACES;
constexpr std::string_view gpt4o = WINDLASS_BEFORE_WORD WINDLASS_UPPER
    "*" WINDLASS_LOWER "+" WINDLASS_CONTRACTIONS "?|" WINDLASS_BEFORE_WORD WINDLASS_UPPER "+" WINDLASS_LOWER
    "*" WINDLASS_CONTRACTIONS R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" WINDLASS_SPACES;
constexpr std::string_view deepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)" WINDLASS_SPACES;
constexpr std::string_view seed_coder =
    WINDLASS_CONTRACTIONS "|" WINDLASS_BEFORE_WORD R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" WINDLASS_SPACES;
constexpr std::string_view bailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view han_or_kana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr std::string_view cjk_or_hangul = R"([\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
constexpr std::string_view bloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

#undef WINDLASS_CONTRACTIONS
#undef WINDLASS_SPACES
#undef WINDLASS_SYMBOLS
#undef WINDLASS_UPPER
#undef WINDLASS_LOWER
#undef WINDLASS_BEFORE_WORD

struct NamedRule {
  std::vector<std::string_view> names;
  PreRule rule;
};

std::vector<NamedRule> const& rules() {
  constexpr auto take = WholeWords::take;
  constexpr auto merge = WholeWords::merge;
  constexpr auto bos = AddByDefault::yes;
  constexpr auto no_bos = AddByDefault::no;
  static std::vector<NamedRule> const table = {
      {{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
       {{llama3}, take, bos}},
      {{"dbrx", "smaug-bpe", "chatglm-bpe"}, {{llama3}}},
      {{"glm4", "glm5"}, {{llama3}, take}},
      {{"qwen2", "deepseek-r1-qwen", "hunyuan", "megrez"}, {{qwen2}, merge, no_bos, Normalization::nfc}},
      {{"qwen35"}, {{qwen35}, merge, no_bos, Normalization::nfc}},
      {{"stablelm2", "grok-2"}, {{qwen2}}},
      {{"gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4", "granite-docling", "jina-es", "jina-de",
        "jina-v2-es", "jina-v2-de", "gigachat", "a.x-4.0", "mellum", "modern-bert"},
       {{gpt2_expression}}},
      {{"jina-v1-en", "jina-v2-code", "roberta-bpe"}, {{gpt2_expression}}},
      {{"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"},
       {{R"(\p{N})", gpt2_expression}}},
      {{"falcon"}, {{R"([\p{P}\$\+<=>\^~\|`]+)", gpt2_expression, "[0-9][0-9][0-9]"}}},
      {{"default"}, {{R"([\p{P}\$\+<=>\^~\|]+)", gpt2_expression, R"(\p{N}+)", "[0-9][0-9][0-9]"}}},
      {{"deepseek-coder"}, {{R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", cjk_or_hangul, R"(\p{N})"}}},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm"}, {{R"(\p{N}{1,3})", han_or_kana, deepseek3}}},
      {{"tekken"}, {{tekken}, take, bos}},
      {{"gpt-4o", "llama4", "kanana2", "minimax-m2"}, {{gpt4o}}},
      {{"seed-coder"}, {{seed_coder}}},
      {{"bailingmoe", "bailingmoe2", "llada-moe"}, {{bailing}}},
      {{"poro-chat", "bloom", "gpt3-finnish"}, {{bloom}}},
      {{"viking"}, {{bloom, R"(\p{N})"}}},
  };
  return table;
}
}  // namespace

PreRule const* find_pre_rule(std::string_view name) {
  for (NamedRule const& named : rules())
    if (std::find(named.names.begin(), named.names.end(), name) != named.names.end()) return &named.rule;
  return nullptr;
}

}  // namespace windlass
