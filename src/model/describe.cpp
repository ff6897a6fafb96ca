#include "src/model/describe.hpp"

#include <algorithm>
#include <iomanip>
#include <map>
#include <sstream>

#include "kernels/kv_layout.hpp"
#include "kernels/pack.hpp"
#include "src/core/bytes_text.hpp"
#include "src/model/model_files.hpp"

namespace windlass {
namespace {

/// Bytes of one tensor after packing; vectors become float32.
std::uint64_t packed_bytes(Tensor const& tensor, Precision precision) {
  if (tensor.shape.size() < 2) return std::uint64_t(tensor.columns()) * 4;
  PackedForm const form = form_of(tensor.type, precision);
  PackedMatrix const shape{.format = form.format,
                           .scale_type = form.scale_type,
                           .scale_group = form.scale_group,
                           .rows = panel_rows,
                           .columns = int(tensor.columns())};
  return std::uint64_t((tensor.rows() + panel_rows - 1) / panel_rows) * shape.size_bytes();
}

std::vector<TensorTypeSummary> summarize(TensorTable const& tensors) {
  std::map<std::string, TensorTypeSummary> by_type;
  for (auto const& [tensor_name, tensor] : tensors.all()) {
    TensorTypeSummary& summary = by_type[name(tensor.type)];
    summary.type = name(tensor.type);
    ++summary.tensors;
    summary.weights += std::uint64_t(tensor.rows()) * std::uint64_t(tensor.columns());
    summary.bytes += tensor.bytes;
  }
  std::vector<TensorTypeSummary> out;
  for (auto const& [type, summary] : by_type) out.push_back(summary);
  std::stable_sort(out.begin(), out.end(), [](auto const& a, auto const& b) { return a.bytes > b.bytes; });
  return out;
}

void print_sizes(std::ostream& out, ModelSpec const& spec) {
  out << "layers             " << spec.layers.size() << ", hidden " << spec.hidden << ", heads " << spec.heads << " of "
      << spec.head_dim << ", KV heads " << spec.kv_heads << '\n';
  if (spec.ffn > 0) out << "feed-forward       " << spec.ffn << '\n';
  if (spec.experts > 0)
    out << "experts            " << spec.experts << " of width " << spec.expert_ffn << ", " << spec.experts_per_token
        << " per token\n";
  out << "vocabulary         " << spec.vocab << (spec.tied_embeddings ? ", head tied to the embedding\n" : "\n");
  auto const windowed =
      std::count_if(spec.layers.begin(), spec.layers.end(), [](LayerSpec const& l) { return l.window > 0; });
  if (windowed > 0) {
    auto const first = std::find_if(spec.layers.begin(), spec.layers.end(), [](auto const& l) { return l.window > 0; });
    out << "sliding window     " << first->window << " tokens in " << windowed << " of " << spec.layers.size()
        << " layers\n";
  }
}

void print_types(std::ostream& out, std::vector<TensorTypeSummary> const& types) {
  out << "tensors            type     count       weights      bytes\n";
  for (TensorTypeSummary const& t : types)
    out << "                   " << std::left << std::setw(8) << t.type << std::right << std::setw(6) << t.tensors
        << std::setw(14) << t.weights << std::setw(11) << bytes_text(t.bytes) << '\n';
}

void print_memory(std::ostream& out, ModelDescription const& d, InspectOptions const& options) {
  std::uint64_t const two = kv_bytes(d.spec, options.bytes_per_value, 2),
                      one = kv_bytes(d.spec, options.bytes_per_value, 1);
  out << "weights in memory  " << bytes_text(d.weight_bytes) << '\n'
      << "KV per token       " << two - one << " bytes (" << options.bytes_per_value << " per value); "
      << bytes_text(kv_bytes(d.spec, options.bytes_per_value, std::uint64_t(d.spec.max_positions)))
      << " for a sequence of " << d.spec.max_positions << " tokens\n";
  if (options.memory_bytes == 0) return;
  out << "fits in memory     ";
  if (options.memory_bytes <= d.weight_bytes) {
    out << "not even the weights do: " << bytes_text(options.memory_bytes) << " are there\n";
    return;
  }
  std::optional<std::uint64_t> const tokens =
      tokens_that_fit(d.spec, options.bytes_per_value, options.memory_bytes - d.weight_bytes);
  out << (tokens ? std::to_string(*tokens) : "any number of") << " tokens beside the weights, in "
      << bytes_text(options.memory_bytes) << '\n';
}

}  // namespace

ModelDescription describe(ModelConfig const& config) {
  ModelFiles const files = open_model(config);
  ModelDescription out{.spec = files.blueprint.spec, .longest_positions = files.blueprint.longest_positions};
  out.types = summarize(files.tensors());
  out.file_bytes = files.tensors().file_bytes();
  for (auto const& [tensor_name, tensor] : files.tensors().all())
    out.weight_bytes += packed_bytes(tensor, config.precision);
  return out;
}

std::uint64_t kv_bytes(ModelSpec const& spec, int bytes_per_value, std::uint64_t tokens) {
  std::uint64_t const per_layer = std::uint64_t(2 * spec.kv_heads) * std::uint64_t(spec.head_dim * bytes_per_value);
  std::uint64_t sum = 0;
  for (LayerSpec const& layer : spec.layers) {
    std::uint64_t const most = std::uint64_t(layer.window) + block_tokens;  // the window may start inside a block
    sum += per_layer * (layer.window > 0 ? std::min(tokens, most) : tokens);
  }
  return sum;
}

std::optional<std::uint64_t> tokens_that_fit(ModelSpec const& spec, int bytes_per_value, std::uint64_t memory_bytes) {
  std::uint64_t fits = 0, too_many = std::uint64_t(1) << 40;
  if (kv_bytes(spec, bytes_per_value, too_many) <= memory_bytes) return {};
  while (too_many - fits > 1) {
    std::uint64_t const middle = fits + (too_many - fits) / 2;
    (kv_bytes(spec, bytes_per_value, middle) <= memory_bytes ? fits : too_many) = middle;
  }
  return fits;
}

std::string to_text(ModelDescription const& d, InspectOptions const& options) {
  std::ostringstream out;
  out << "model              " << (d.spec.name.empty() ? "(no name)" : d.spec.name) << '\n'
      << "architecture       " << d.spec.architecture << '\n';
  print_sizes(out, d.spec);
  out << "context            " << d.spec.max_positions << " tokens";
  if (d.longest_positions > d.spec.max_positions) out << ", up to " << d.longest_positions << " with --max-model-len";
  out << '\n' << "files              " << bytes_text(d.file_bytes) << '\n';
  print_types(out, d.types);
  print_memory(out, d, options);
  return out.str();
}

}  // namespace windlass
