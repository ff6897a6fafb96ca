#include "src/model/model.hpp"

#include <future>

#include "src/core/clock.hpp"
#include "src/model/model_files.hpp"
#include "src/model/model_text.hpp"
#include "src/model/placed_load.hpp"

namespace windlass {

Model load_model(ModelConfig const& config, ThreadTeam& team) { return load_model(config, WeightMemory{}, team); }

Model load_model(ModelConfig const& config, WeightMemory const& memory, ThreadTeam& team) {
  Microseconds const start = now_us();
  ModelFiles const files = open_model(config);
  TextParts const parts = files.gguf ? text_parts_of(files.gguf->metadata()) : text_parts_of(config.path);
  std::future<ModelText> pending =
      std::async(std::launch::async, [&] { return load_text(parts, config.chat_template_file); });
  Model model = load_network(config, files, memory, team);
  ModelText text = pending.get();
  model.tokenizer = std::move(text.tokenizer);
  model.tokenizer_problem = std::move(text.tokenizer_problem);
  model.chat_template = std::move(text.chat_template);
  model.chat_template_problem = std::move(text.chat_template_problem);
  model.tool_calls = text.tool_calls;
  model.reasoning = text.reasoning;
  bool const files_say =
      !files.gguf && !model.spec.end_tokens.empty();  // GGUF's keys name some, its tokenizer the rest
  if (model.tokenizer && !files_say)
    for (TokenId const id : model.tokenizer->end_tokens()) add_end_token(model.spec, id);
  model.load_seconds = double(now_us() - start) * 1e-6;
  return model;
}

}  // namespace windlass
