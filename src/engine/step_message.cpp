#include "src/engine/step_message.hpp"

#include <cstring>
#include <type_traits>

#include "src/core/error.hpp"

namespace windlass {
namespace {

class Writer {
 public:
  template <class T>
  void put(T const& value) {
    put_all(std::span(&value, 1));
  }
  template <class T>
  void put_all(std::span<T const> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto const raw = std::as_bytes(values);
    bytes_.insert(bytes_.end(), raw.begin(), raw.end());
  }
  template <class T>
  void put_list(std::vector<T> const& values) {
    put(std::uint32_t(values.size()));
    put_all(std::span<T const>(values));
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<std::byte const> bytes) : rest_(bytes) {}

  template <class T>
  T get() {
    T value;
    copy(&value, sizeof value);
    return value;
  }
  template <class T>
  std::vector<T> get_some(std::size_t count) {
    ensure(count <= rest_.size() / sizeof(T), "a step message is cut");
    std::vector<T> values(count);
    copy(values.data(), count * sizeof(T));
    return values;
  }
  template <class T>
  std::vector<T> get_list() {
    return get_some<T>(get<std::uint32_t>());
  }

 private:
  void copy(void* to, std::size_t bytes) {
    ensure(bytes <= rest_.size(), "a step message is cut");
    if (bytes > 0) std::memcpy(to, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
  }
  std::span<std::byte const> rest_;
};

int blocks_of(SequenceRows const& rows) { return blocks_for(rows.first_position + rows.rows); }

}  // namespace

std::vector<std::byte> encode_end() {
  Writer out;
  out.put(StepKind::end);
  return out.take();
}

std::vector<std::vector<PageChange>> take_changes(std::span<LayerGroup const> groups) {
  std::vector<std::vector<PageChange>> changes;
  for (LayerGroup const& group : groups) changes.push_back(group.pool->take_changes());
  return changes;
}

std::vector<std::byte> encode_pages(StepKind kind, std::span<std::vector<PageChange> const> changes,
                                    std::span<std::vector<std::uint32_t> const> pages) {
  Writer out;
  out.put(kind);
  out.put(std::uint32_t(pages.size()));
  for (auto const& group : pages) out.put_list(group);
  for (auto const& group : changes) out.put_list(group);
  return out.take();
}

std::vector<std::byte> encode_step(Batch const& batch, std::span<std::vector<PageChange> const> changes) {
  Writer out;
  out.put(StepKind::compute);
  out.put(std::uint32_t(batch.normalizers));
  out.put_list(batch.tokens);
  out.put_list(batch.logit_rows);
  out.put(std::uint32_t(batch.sequences.size()));
  out.put(std::uint32_t(batch.sequences.at(0).size()));
  for (SequenceRows const& rows : batch.sequences[0]) {
    out.put(rows.rows);
    out.put(rows.first_position);
  }
  for (auto const& group : batch.sequences)
    for (SequenceRows const& rows : group) out.put_all(std::span(rows.pages, std::size_t(blocks_of(rows))));
  for (auto const& group : changes) out.put_list(group);
  return out.take();
}

StepMessage decode_step(std::span<std::byte const> bytes) {
  Reader in(bytes);
  StepMessage message{.kind = in.get<StepKind>()};
  if (message.kind == StepKind::end) return message;
  if (message.kind != StepKind::compute) {
    auto const groups = in.get<std::uint32_t>();
    for (std::uint32_t group = 0; group < groups; ++group) message.pages.push_back(in.get_list<std::uint32_t>());
    for (std::uint32_t group = 0; group < groups; ++group) message.changes.push_back(in.get_list<PageChange>());
    return message;
  }
  Batch& batch = message.batch;
  batch.normalizers = Normalizers(in.get<std::uint32_t>());
  batch.tokens = in.get_list<TokenId>();
  batch.logit_rows = in.get_list<int>();
  auto const groups = in.get<std::uint32_t>(), sequences = in.get<std::uint32_t>();
  std::vector<SequenceRows> rows;
  for (std::uint32_t i = 0; i < sequences; ++i) {
    SequenceRows part{.first_row = int(batch.positions.size())};
    part.rows = in.get<int>();
    part.first_position = in.get<int>();
    for (int row = 0; row < part.rows; ++row) batch.positions.push_back(part.first_position + row);
    batch.max_context = std::max(batch.max_context, part.first_position + part.rows);
    rows.push_back(part);
  }
  ensure(batch.positions.size() == batch.tokens.size(), "a step message has rows without tokens");
  batch.sequences.assign(groups, rows);
  for (auto& group : batch.sequences)
    for (SequenceRows& part : group) {
      message.pages.push_back(in.get_some<std::uint32_t>(std::size_t(blocks_of(part))));
      part.pages = message.pages.back().data();
    }
  for (std::uint32_t group = 0; group < groups; ++group) message.changes.push_back(in.get_list<PageChange>());
  return message;
}

}  // namespace windlass
