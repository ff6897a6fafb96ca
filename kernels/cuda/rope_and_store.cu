// One warp per head of a row: a query head is rotated where it lies, a KV head is rotated and written to its page
// beside its value. Bound by memory; the writes of one position are strided, as the pages' layout asks.
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/math.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/kv_tile.hpp"
#include "kernels/rope.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

/// Where K and V of a row go.
struct RowPlace {
  int row, position;
  std::uint32_t page;
};

struct RopeKernel {
  static constexpr char const* name = "rope_and_store";
  static constexpr int threads = 128, warps = threads / 32;
  RopeAndStore op;  // its spans lie in ordinary memory
  RowPlace const* places;

  /// 1 / the root of the mean square of a head, or 1 where there is no norm.
  WINDLASS_DEVICE float scale_of(Thread const& thread, float const* head, float const* norm) const {
    if (norm == nullptr) return 1;
    int const head_dim = op.kv.shape.head_dim;
    float squares = 0;
    for (int i = thread.lane(); i < head_dim; i += 32) squares = fmaf(head[i], head[i], squares);
    return 1 / sqrtf(sum_of_warp(thread, squares) / float(head_dim) + op.norm_eps);
  }

  struct Head {
    float const* values;  // [head_dim]
    float const* norm;    // [head_dim] or null
    float scale;
    WINDLASS_DEVICE float operator[](int i) const { return norm == nullptr ? values[i] : values[i] * scale * norm[i]; }
  };
  /// Calls store(dimension, value) for the lane's part of the normed and rotated head.
  template <class Store>
  WINDLASS_DEVICE void rotate(Thread const& thread, Head const& head, int row, Store const& store) const {
    int const half = op.rotary_dim / 2;
    float const* const cosine = op.cos_sin + std::int64_t(row) * op.rotary_dim;  // [half]
    float const* const sine = cosine + half;                                     // [half]
    for (int i = thread.lane(); i < half; i += 32) {
      float const a = head[i], b = head[i + half];
      store(i, fmaf(a, cosine[i], -(b * sine[i])));
      store(i + half, fmaf(b, cosine[i], a * sine[i]));
    }
    for (int i = op.rotary_dim + thread.lane(); i < op.kv.shape.head_dim; i += 32) store(i, head[i]);
  }

  WINDLASS_DEVICE void store_kv(Thread const& thread, RowPlace const& place, int kv_head, Head const& k) const {
    KvShape const& shape = op.kv.shape;
    std::byte* const page = op.kv.base + place.page * shape.page_bytes();
    std::byte* const k_tile = page + shape.k_offset(op.kv.layer, kv_head);
    std::byte* const v_tile = page + shape.v_offset(op.kv.layer, kv_head);
    float const* const v = k.values + shape.kv_heads * shape.head_dim;  // [head_dim]
    int const position = place.position % block_tokens;
    auto const put = [&](std::byte* tile, std::size_t element, float value) {
      if (shape.format == KvFormat::bf16)
        reinterpret_cast<std::uint16_t*>(tile)[element] = float_to_bf16(value);
      else
        reinterpret_cast<float*>(tile)[element] = value;
    };
    rotate(thread, k, place.row, [&](int i, float value) { put(k_tile, k_element(shape, position, i), value); });
    for (int i = thread.lane(); i < shape.head_dim; i += 32) put(v_tile, v_element(shape, position, i), v[i]);
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    RowPlace const place = places[thread.block()];
    int const head_dim = op.kv.shape.head_dim, head = thread.part() * warps + thread.warp();
    if (head >= op.heads + op.kv.shape.kv_heads) return;  // the whole warp
    float* const values = op.qkv + place.row * op.stride + head * head_dim;
    float const* const norm = head < op.heads ? op.q_norm : op.k_norm;
    Head const own{values, norm, scale_of(thread, values, norm)};
    if (head < op.heads)
      rotate(thread, own, place.row, [&](int i, float value) { values[i] = value; });
    else
      store_kv(thread, place, head - op.heads, own);
  }
};

}  // namespace

void rope_and_store(RopeAndStore const& op, Queue const& queue) {
  std::vector<RowPlace> places;
  for (SequenceRows const& sequence : op.sequences)
    for (int i = 0; i < sequence.rows; ++i) {
      int const position = sequence.first_position + i;
      places.push_back({sequence.first_row + i, position, sequence.pages[position / block_tokens]});
    }
  if (places.empty()) return;
  launch(RopeKernel{op, upload(std::span<RowPlace const>(places))},
         {.blocks = std::int64_t(places.size()),
          .parts = parts_of(op.heads + op.kv.shape.kv_heads, RopeKernel::warps),
          .threads = RopeKernel::threads},
         queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
