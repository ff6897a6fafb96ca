#include "mpi/kv_transport.hpp"

namespace windlass {

char const* transport_name(TransportKind kind) {
  switch (kind) {
    case TransportKind::shared:
      return "shared";
    case TransportKind::window:
      return "window";
    case TransportKind::message:
      return "message";
  }
  return "";
}

std::optional<TransportKind> transport_called(std::string_view name) {
  for (TransportKind const kind : {TransportKind::shared, TransportKind::window, TransportKind::message})
    if (name == transport_name(kind)) return kind;
  return std::nullopt;
}

std::vector<PageBatch> batches_of(std::span<PagePair const> pages, std::span<PoolRegion const> pools,
                                  std::size_t least_bytes) {
  std::vector<PageBatch> batches;
  std::size_t bytes = least_bytes;  // the first page opens a batch
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (bytes >= least_bytes) {
      batches.push_back({.begin = i, .end = i});
      bytes = 0;
    }
    batches.back().end = i + 1;
    bytes += pools[pages[i].group].page_bytes;
  }
  return batches;
}

}  // namespace windlass
