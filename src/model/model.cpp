#include "src/model/model.hpp"

#include <future>

#include "src/core/clock.hpp"
#include "src/model/model_text.hpp"
#include "src/model/network.hpp"

namespace windlass {
namespace {

void move_text(ModelText&& from, Model& to) {
  to.tokenizer = std::move(from.tokenizer);
  to.tokenizer_problem = std::move(from.tokenizer_problem);
  to.chat_template = std::move(from.chat_template);
  to.chat_template_problem = std::move(from.chat_template_problem);
}

/// Reads the text parts on a thread of their own while `network` loads the weights.
template <class Network>
Model load_both(TextParts const& parts, std::string const& template_file, Network const& network) {
  std::future<ModelText> text = std::async(std::launch::async, [&] { return load_text(parts, template_file); });
  Model model = network();
  move_text(text.get(), model);
  return model;
}

Model load_gguf(ModelConfig const& config, ThreadTeam& team) {
  GgufFile const file(config.path, config.load);
  Model model = load_both(text_parts_of(file.metadata()), config.chat_template_file,
                          [&] { return load_network(config, file, team); });
  if (model.tokenizer)
    for (TokenId const id : model.tokenizer->end_tokens()) add_end_token(model.spec, id);
  return model;
}

Model load_folder(ModelConfig const& config, ThreadTeam& team) {
  Model model = load_both(text_parts_of(config.path), config.chat_template_file,
                          [&] { return load_folder_network(config, team); });
  if (model.tokenizer && model.spec.end_tokens.empty())
    for (TokenId const id : model.tokenizer->end_tokens()) add_end_token(model.spec, id);
  return model;
}

}  // namespace

Model load_model(ModelConfig const& config, ThreadTeam& team) {
  Microseconds const start = now_us();
  Model model = is_folder(config) ? load_folder(config, team) : load_gguf(config, team);
  model.load_seconds = double(now_us() - start) * 1e-6;
  return model;
}

}  // namespace windlass
