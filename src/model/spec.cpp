#include "src/model/spec.hpp"

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

void check_experts(ModelSpec const& spec, std::string const& source) {
  if (spec.experts == 0) return;
  if (spec.experts_per_token < 1 || spec.experts_per_token > spec.experts)
    throw InputError(text(source, ": a token goes to ", spec.experts_per_token, " of ", spec.experts, " experts"));
  if (spec.expert_ffn < 1) throw InputError(source + ": the experts' width is not positive");
}

void check_layers(ModelSpec const& spec, std::string const& source) {
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec const& layer = spec.layers[i];
    if (layer.window < 0) throw InputError(text(source, ": layer ", i, " has a negative window"));
    if (layer.rope < 0 || std::size_t(layer.rope) >= spec.ropes.size())
      throw InputError(text(source, ": layer ", i, " has no rope parameters"));
    if (layer.moe ? spec.experts == 0 : spec.ffn == 0)
      throw InputError(text(source, ": layer ", i, " has no feed-forward width"));
  }
}

}  // namespace

void check(ModelSpec const& spec, std::string const& source) {
  struct Size {
    char const* name;
    int value;
  };
  Size const sizes[] = {{"hidden size", spec.hidden},
                        {"number of heads", spec.heads},
                        {"number of KV heads", spec.kv_heads},
                        {"head size", spec.head_dim},
                        {"vocabulary", spec.vocab},
                        {"context length", spec.max_positions},
                        {"number of layers", int(spec.layers.size())}};
  for (Size const& size : sizes)
    if (size.value < 1) throw InputError(text(source, ": the ", size.name, " is ", size.value, ", not positive"));
  if (spec.heads % spec.kv_heads != 0)
    throw InputError(text(source, ": ", spec.heads, " heads are not a multiple of ", spec.kv_heads, " KV heads"));
  if (spec.head_dim % 2 != 0 || spec.head_dim > 256)
    throw InputError(text(source, ": a head size of ", spec.head_dim, " is not supported; even ones up to 256 are"));
  if (!(spec.norm_eps >= 0 && spec.norm_eps < 1)) throw InputError(source + ": the norm's epsilon is not in [0, 1)");
  if (std::int64_t(spec.heads + 2 * spec.kv_heads) * spec.head_dim > (1 << 30))
    throw InputError(source + ": the heads together have more than 2^30 rows");
  check_experts(spec, source);
  check_layers(spec, source);
}

}  // namespace windlass
