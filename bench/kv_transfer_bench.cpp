// Handing KV from one rank to another, beside memcpy and plain MPI in the same run. One JSON line each.
//   mpirun -n 2 --bind-to none kv_transfer_bench [--page-kib 1440] [--pages 64]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/arguments.hpp"
#include "mpi/communicators.hpp"
#include "mpi/job.hpp"
#include "mpi/kv_exchange.hpp"
#include "mpi/link_probe.hpp"
#include "mpi/message_transport.hpp"
#include "mpi/shared_pools.hpp"
#include "mpi/window_transport.hpp"
#include "src/core/checksum.hpp"
#include "src/kv/page_pool.hpp"
#include "src/serve/page_loans.hpp"

namespace windlass {
namespace {

constexpr int rounds = 7;

struct Setting {
  std::size_t page_bytes = 0;
  std::uint32_t pages = 0;
  double bytes() const { return double(page_bytes) * pages; }
};

struct Limits {
  double memcpy_gb_per_s = 0, mpi_gb_per_s = 0;
};

int own_rank() { return world_place().world_rank; }
void meet() { gather_from_all({}); }

void print(char const* what, Setting const& setting, double gb_per_s, Limits const& limits) {
  if (own_rank() != 0) return;
  std::printf(
      "{\"operation\":\"kv_transfer\",\"what\":\"%s\",\"page_kib\":%zu,\"pages\":%u,\"gb_per_s\":%.2f,"
      "\"share_of_memcpy\":%.2f,\"share_of_mpi\":%.2f}\n",
      what, setting.page_bytes >> 10, setting.pages, gb_per_s, gb_per_s / limits.memcpy_gb_per_s,
      limits.mpi_gb_per_s > 0 ? gb_per_s / limits.mpi_gb_per_s : 0);
  std::fflush(stdout);
}

/// Best of some rounds on rank 0, all ranks in step.
template <class Round>
double best_gb_per_s(Setting const& setting, Round round) {
  double best = 0;
  for (int i = 0; i < rounds; ++i) {
    meet();
    Microseconds const begin = now_us();
    round(i);
    best = std::max(best, setting.bytes() / double(now_us() - begin) * 1e-3);
  }
  return best;
}

KvJob job_of(Setting const& setting, std::uint64_t transfer) {
  KvJob job{.transfer = transfer, .peer_rank = 1 - own_rank()};
  for (std::uint32_t page = 0; page < setting.pages; ++page) job.pages.push_back({.local = page, .remote = page});
  return job;
}

/// The transport alone: bytes from pool to pool, nothing checked.
double bytes_alone(KvTransport& transport, Setting const& setting) {
  return best_gb_per_s(setting, [&](int round) {
    KvJob const job = job_of(setting, std::uint64_t(round) + 1);
    if (own_rank() == 0) {
      transport.send(job);
      while (!transport.sent(job)) transport.progress();
    } else {
      transport.receive(job);
      bool const tells_itself = transport.kind() == TransportKind::message;
      while (tells_itself && !transport.received(job)) transport.progress();
    }
    meet();
    transport.forget(job);
  });
}

KvEvent next_event(Courier& courier) {
  for (;;)
    if (auto const envelope = courier.receive(Inbox::worker, std::chrono::seconds(1)))
      if (envelope->tag() == Tag::kv_event) return decode<KvEvent>(envelope->frame);
}

/// A whole handoff: offer, grant, bytes, checksums on both sides, end.
double whole_handoff(KvTransport& transport, PoolRegion const& region, Setting const& setting) {
  double best = 0;
  Courier courier({.job_epoch = 1});
  KvExchange exchange(courier, transport, {region}, {});
  for (std::uint64_t transfer = 101; transfer < 101 + rounds; ++transfer) {
    KvJob job = job_of(setting, transfer);
    Microseconds const begin = now_us();
    if (own_rank() == 0) {
      HandoffOffer const offer{.transfer = transfer, .pages = setting.pages};
      exchange.offer({.transfer = transfer, .to_rank = 1, .pages = std::move(job.pages), .offer = encode(offer, 1)});
      if (next_event(courier).outcome != HandoffOutcome::arrived) throw std::runtime_error("a handoff failed");
      best = std::max(best, setting.bytes() / double(now_us() - begin) * 1e-3);
    } else {
      while (true) {
        auto const envelope = courier.receive(Inbox::worker, std::chrono::seconds(1));
        if (envelope && envelope->tag() == Tag::handoff_offer) break;
      }
      exchange.grant({.transfer = transfer,
                      .from_rank = 0,
                      .pages = std::move(job.pages),
                      .generations = std::vector<std::uint32_t>(setting.pages, 1)});
      next_event(courier);
    }
  }
  return best;
}

/// Pages of `page_bytes`: one layer of f32 tiles.
KvShape shape_of(Setting const& setting) {
  KvShape const shape{.layers = 1, .kv_heads = 1, .head_dim = int(setting.page_bytes / (2 * block_tokens * 4))};
  if (shape.page_bytes() != setting.page_bytes) throw InputError("--page-kib must be a multiple of 1 KiB");
  return shape;
}

std::unique_ptr<PagePool> make_pool(Setting const& setting) {
  return std::make_unique<PagePool>(PagePoolConfig{.shape = shape_of(setting), .pages = setting.pages});
}

Envelope next_message(Courier& courier, Tag tag) {
  for (;;)
    if (auto envelope = courier.receive(Inbox::worker, std::chrono::seconds(1)))
      if (envelope->tag() == tag) return std::move(*envelope);
}

struct Handoffs {
  std::vector<Microseconds> work_us, round_trip_us;  ///< of each: on both sides; from the offer to its end
};

/// Rank 0 lends the pages of a sequence and gets them back, some times.
Handoffs lend_pages(Courier& courier, KvExchange& exchange, PagePool& pool, Setting const& setting) {
  LayerGroup const group{.pool = &pool};
  std::span const groups(&group, 1);
  int const computed = int(setting.pages) * block_tokens;
  SequencePages sequence(groups);
  if (!sequence.ensure_positions(computed)) throw std::runtime_error("the pool is too small");
  PageLoans loans(groups);
  Handoffs handoffs;
  for (std::uint64_t transfer = 1; transfer <= 200; ++transfer) {
    for (int block = 0; block < sequence.blocks(); ++block)
      std::memcpy(pool.bytes(*sequence.block(block)[0]).data(), &transfer, sizeof transfer);
    Microseconds const begin = now_us();
    auto const names = page_names(sequence, computed, groups);
    loans.lend(1, names);
    HandoffOffer const offer{.transfer = transfer, .pages = std::uint32_t(names.size())};
    exchange.offer({.transfer = transfer,
                    .to_rank = 1,
                    .pages = {},
                    .offer = encode(offer, 1, std::as_bytes(std::span(names))),
                    .work_us = now_us() - begin});
    for (bool has_ended = false, is_back = false; !has_ended || !is_back;) {  // in either order
      auto const envelope = courier.receive(Inbox::worker, std::chrono::seconds(1));
      if (envelope && envelope->tag() == Tag::kv_event) {
        handoffs.work_us.push_back(Microseconds(decode<KvEvent>(envelope->frame).moving_us));
        handoffs.round_trip_us.push_back(now_us() - begin);
        has_ended = true;
      } else if (envelope && envelope->tag() == Tag::pages_returned) {
        loans.take_back(1, tail_elements<ReturnedLoan>(tail_of(envelope->frame), setting.pages));
        is_back = true;
      }
    }
  }
  return handoffs;
}

/// Rank 1 takes them, reads what rank 0 wrote, and sends them back.
void borrow_lent(Courier& courier, KvExchange& exchange, PagePool& pool, Setting const& setting) {
  LayerGroup const group{.pool = &pool};
  std::span const groups(&group, 1);
  int const computed = int(setting.pages) * block_tokens;
  for (std::uint64_t transfer = 1; transfer <= 200; ++transfer) {
    auto const envelope = next_message(courier, Tag::handoff_offer);
    Microseconds const begin = now_us();
    auto const names = tail_elements<KvPageName>(tail_of(envelope.frame), setting.pages);
    if (!same_places(expected_names(computed, groups), names)) throw std::runtime_error("other pages than expected");
    SequencePages pages = borrow_pages(names, computed, groups);
    exchange.end(0, {.transfer = transfer, .work_us = now_us() - begin});
    for (KvPageName const& name : names)
      if (std::memcmp(pool.bytes(PageId{name.page}).data(), &transfer, sizeof transfer) != 0)
        throw std::runtime_error("a page does not hold what its owner wrote");
    pages.release_all();
    auto const ended = take_ended_loans(groups);
    courier.send(0, PagesReturned{.pages = ended.size()}, std::as_bytes(std::span(ended)));
  }
}

void measure_shared(Setting const& setting) {
  SharedPools pools(SharedPools::Takes::part);
  auto const memory = pools.reserve(setting.page_bytes, setting.pages);
  if (!pools.connect()) {
    if (own_rank() == 0) std::fprintf(stderr, "no shared pages here: %s\n", pools.problem().c_str());
    return;
  }
  PagePool pool({.shape = shape_of(setting), .pages = setting.pages, .memory = memory});
  MessageTransport transport({});
  Courier courier({.job_epoch = 1});
  KvExchange exchange(courier, transport, {}, {});
  if (own_rank() == 1) return borrow_lent(courier, exchange, pool, setting);
  Handoffs handoffs = lend_pages(courier, exchange, pool, setting);
  auto const median = [](std::vector<Microseconds>& all) {
    std::nth_element(all.begin(), all.begin() + std::ptrdiff_t(all.size() / 2), all.end());
    return all[all.size() / 2];
  };
  std::printf(
      "{\"operation\":\"kv_handoff\",\"what\":\"shared\",\"page_kib\":%zu,\"pages\":%u,\"requests\":%zu,\"bytes_"
      "copied\":0,"
      "\"work_us\":%lld,\"round_trip_us\":%lld}\n",
      setting.page_bytes >> 10, setting.pages, handoffs.work_us.size(),
      static_cast<long long>(median(handoffs.work_us)), static_cast<long long>(median(handoffs.round_trip_us)));
}

void measure(Setting const& setting) {
  std::size_t const bytes = setting.page_bytes * setting.pages;
  auto const source_pool = make_pool(setting), copy_pool = make_pool(setting);  // such memory as the engine's
  std::span<std::byte> const pool(source_pool->bytes(PageId{0}).data(), bytes);
  std::span<std::byte> const copy(copy_pool->bytes(PageId{0}).data(), bytes);
  std::fill(pool.begin(), pool.end(), std::byte(own_rank() + 1));
  std::fill(copy.begin(), copy.end(), std::byte{9});
  PoolRegion const region{.base = pool.data(), .page_bytes = setting.page_bytes, .pages = setting.pages};
  Limits limits;
  limits.memcpy_gb_per_s = best_gb_per_s(setting, [&](int) {
    if (own_rank() == 0) std::memcpy(copy.data(), pool.data(), bytes);
  });
  print("memcpy, one thread", setting, limits.memcpy_gb_per_s, limits);
  limits.mpi_gb_per_s =
      measure_link_gb_per_s({.message_bytes = setting.page_bytes, .messages = int(setting.pages)}, pool);
  print("plain MPI_Isend", setting, limits.mpi_gb_per_s, limits);
  std::uint64_t sum = 0;
  double const checked = best_gb_per_s(setting, [&](int i) {
    if (own_rank() == 0) sum += checksum(pool, std::uint64_t(i));
  });
  if (sum == 1) std::puts("");  // so that the sums are computed
  print("checksum, one thread", setting, checked, limits);
  {
    MessageTransport message({region});
    print("message, bytes alone", setting, bytes_alone(message, setting), limits);
    print("message, whole handoff", setting, whole_handoff(message, region, setting), limits);
  }
  KvLink const link{.first_rank = 0, .second_rank = 1};
  try {
    WindowTransport window({region}, std::span(&link, 1));
    print("window (MPI_Win_create), bytes alone", setting, bytes_alone(window, setting), limits);
    print("window (MPI_Win_create), whole handoff", setting, whole_handoff(window, region, setting), limits);
  } catch (std::runtime_error const& error) {
    if (own_rank() == 0) std::fprintf(stderr, "no windows here: %s\n", error.what());
  }
}

int run(int argc, char** argv) {
  MpiJob const job(detect_launcher([](char const* name) -> std::optional<std::string> {
    char const* const value = std::getenv(name);
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
  }));
  if (job.place().world_ranks != 2) throw InputError("start it with mpirun -n 2");
  bench::Arguments const arguments(argc, argv, {{"page-kib", "1440"}, {"pages", "64"}});
  Setting const setting{.page_bytes = std::size_t(arguments.integer("page-kib")) << 10,
                        .pages = std::uint32_t(arguments.integer("pages"))};
  measure(setting);
  measure_shared(setting);
  return 0;
}

}  // namespace
}  // namespace windlass

int main(int argc, char** argv) {
  try {
    return windlass::run(argc, argv);
  } catch (std::exception const& error) {
    std::fprintf(stderr, "kv_transfer_bench: %s\n", error.what());
    return 2;
  }
}
