#include "src/core/text.hpp"
#include "src/model/architecture/hugging_face.hpp"

namespace windlass {
namespace {

RopeScaling scaling_of(JsonReader const& object) {
  // "type" is the older name of "rope_type", "su" of longrope; "mrope" equals plain rope where there is only text.
  std::string const type = object.text("rope_type").value_or(object.text("type").value_or("default"));
  if (type == "default" || type == "mrope") return RopeScaling::none;
  if (type == "linear") return RopeScaling::linear;
  if (type == "llama3") return RopeScaling::llama3;
  if (type == "longrope" || type == "su" || object.has("short_factor"))
    return RopeScaling::longrope;  // early Phi-3: yarn
  if (type == "yarn") return RopeScaling::yarn;
  object.fail("rope_type", text("is \"", type, "\"; default, linear, llama3, yarn and longrope are supported"));
}

}  // namespace

RopeParameters rope_from_config(JsonReader const& object, RopeParameters p) {
  p.scaling = scaling_of(object);
  p.theta = object.number("rope_theta").value_or(p.theta);
  p.partial_rotary_factor = object.number("partial_rotary_factor").value_or(p.partial_rotary_factor);
  if (p.original_max_positions == 0)  // the top level's value goes first
    p.original_max_positions = int(object.integer("original_max_position_embeddings").value_or(p.max_positions));
  p.low_freq_factor = object.number("low_freq_factor").value_or(p.low_freq_factor);
  p.high_freq_factor = object.number("high_freq_factor").value_or(p.high_freq_factor);
  p.beta_fast = object.number("beta_fast").value_or(p.beta_fast);
  p.beta_slow = object.number("beta_slow").value_or(p.beta_slow);
  p.mscale = object.number("mscale").value_or(p.mscale);
  p.mscale_all_dim = object.number("mscale_all_dim").value_or(p.mscale_all_dim);
  p.truncate = object.boolean("truncate").value_or(p.truncate);
  p.attention_factor = object.number("attention_factor");
  p.short_factor = object.numbers("short_factor");
  p.long_factor = object.numbers("long_factor");
  bool const by_ratio = p.scaling == RopeScaling::longrope || p.scaling == RopeScaling::yarn;
  if (std::optional<double> const factor = object.number("factor"))
    p.factor = *factor;
  else if (by_ratio && p.original_max_positions > 0)
    p.factor = double(p.max_positions) / p.original_max_positions;
  else if (p.scaling != RopeScaling::none)
    object.fail("factor", "is missing");
  return p;
}

}  // namespace windlass
