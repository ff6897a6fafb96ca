/// Every model of inputs/reference, loaded and run by the naive forward pass, gives transformers' logits: names, row
/// orders, rope, windows, norms, experts and formats are read as they are meant.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <cmath>

#include "src/core/thread_team.hpp"
#include "src/model/json_reader.hpp"
#include "src/model/model_files.hpp"
#include "src/model/weight_loader.hpp"
#include "tests/naive_forward.hpp"

namespace windlass {
namespace {

struct Prompt {
  std::vector<TokenId> ids;
  std::vector<double> last_logits;
};

/// The longest prompt of at most 200 tokens, or the shortest one.
Prompt golden_prompt(std::string const& folder) {
  std::string const path = folder + "/golden.json";
  boost::json::object const golden = parse_json_object(read_text_file(path, 1 << 24), path);
  Prompt best;
  for (boost::json::value const& element : golden.at("prompts").as_array()) {
    JsonReader const prompt(element.as_object(), path);
    std::vector<std::int64_t> const ids = prompt.integers("ids");
    if (!best.ids.empty() && ids.size() > 200) continue;
    best = {.ids = {}, .last_logits = prompt.numbers("last_logits")};
    for (std::int64_t const id : ids) best.ids.push_back(TokenId(std::uint32_t(id)));
  }
  return best;
}

class LoadedModels : public testing::TestWithParam<char const*> {};

TEST_P(LoadedModels, GiveTheLogitsOfTransformers) {
  std::string const name = GetParam(), folder = WINDLASS_SOURCE_DIR "/inputs/reference/" + name;
  Prompt const prompt = golden_prompt(folder);
  ThreadTeam team({.threads = 2});
  ModelFiles const files = open_model({.path = name == "llama-kquants" ? folder + "/model.gguf" : folder});
  Weights const weights = load_weights(files.blueprint, files.tensors(), Precision::f32, team);

  ModelSpec const& spec = files.blueprint.spec;
  std::vector<double> const logits = naive_last_logits(spec, weights, prompt.ids, spec.max_positions);

  ASSERT_EQ(logits.size(), prompt.last_logits.size());
  double worst = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) worst = std::max(worst, std::abs(logits[i] - prompt.last_logits[i]));
  EXPECT_LT(worst, 2e-4);  // golden.json: float32, itself up to 1.3e-4 from float64 (log-probabilities)
}

INSTANTIATE_TEST_SUITE_P(All, LoadedModels,
                         testing::Values("llama-gqa", "llama3-rope-tied-bf16", "qwen2-sharded", "qwen3-v5config",
                                         "mistral-window128", "mixtral-4x2", "qwen3moe-6x2", "gemma2-softcaps",
                                         "gemma3-two-ropes", "phi3-longrope", "llama-yarn", "llama-linear-bias",
                                         "qwen3-fp8-blocks", "llama-fp8-channels", "llama-kquants"),
                         [](auto const& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace windlass
