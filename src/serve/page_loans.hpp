/// Pages that change hands inside a machine without being copied: who holds pages of whom.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "mpi/message.hpp"
#include "src/kv/sequence_pages.hpp"

namespace windlass {

/// The lender's side: a page that is lent has one more reference for each loan, until the borrower gives it back or is
/// known to be dead. Local.
class PageLoans {
 public:
  /// `groups` outlives this.
  explicit PageLoans(std::span<LayerGroup const> groups) : groups_(groups), pages_(groups.size()) {}

  void lend(int borrower, std::span<KvPageName const> pages);
  /// Throws WireError, with nothing changed, where the borrower holds no such loan.
  void take_back(int borrower, std::span<ReturnedLoan const> returned);
  /// Its process has ended: it reads and writes nothing any more.
  void end_loans_of(int borrower);
  /// Of the pages, how much is lent, in the group that has lent most of them.
  double share() const;

 private:
  using Page = std::pair<std::uint32_t, std::uint32_t>;  // group, page
  void release(Page page, std::uint64_t times);

  std::span<LayerGroup const> groups_;
  std::map<int, std::map<Page, std::uint64_t>> lent_;  // by borrower: how many loans of which pages
  std::vector<std::uint64_t> pages_;                   // [groups] in `lent_`
};

/// The borrower's side: a sequence's tables over pages of another rank, in the order of page_names(). Each of them is
/// one loan. `pages` must be of the groups and blocks that a sequence with so many computed tokens reads.
SequencePages borrow_pages(std::span<KvPageName const> pages, int computed, std::span<LayerGroup const> groups);

/// Loans that ended since the last call.
std::vector<ReturnedLoan> take_ended_loans(std::span<LayerGroup const> groups);

/// Names of the pages that a sequence's next row reads, in the one order that both sides use.
std::vector<KvPageName> page_names(SequencePages const& pages, int computed, std::span<LayerGroup const> groups);
/// The same names without pages.
std::vector<KvPageName> expected_names(int computed, std::span<LayerGroup const> groups);
/// Equal but for pages and generations.
bool same_places(std::span<KvPageName const> a, std::span<KvPageName const> b);

}  // namespace windlass
