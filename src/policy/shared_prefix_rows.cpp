#include "src/policy/shared_prefix_rows.hpp"

#include <map>

namespace windlass {
namespace {

class Walk {
 public:
  explicit Walk(SharedPrefixRowsInput const& in) : in_(in) {
    plan_.row_of.resize(in.sequences.size());
    plan_.held_chunks = 0;
  }

  SharedPrefixRowsPlan run() {
    std::vector<std::size_t> all(in_.sequences.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    visit(all, 0);
    plan_.stop = plan_.shared.empty() ? SharedPrefixRowsStop::nothing_shared : SharedPrefixRowsStop::shares;
    return std::move(plan_);
  }

 private:
  /// Rows for `members`, which share their first `depth` chunks.
  void visit(std::vector<std::size_t> const& members, std::size_t depth) {
    std::vector<std::vector<std::size_t>> groups;  // by next chunk, in order of the first member
    std::map<std::uint64_t, std::size_t> group_of;
    for (std::size_t const member : members) {
      auto const& chunks = in_.sequences[member].full_chunks;
      if (depth >= chunks.size()) {
        groups.push_back({member});
        continue;
      }
      auto const [found, added] = group_of.try_emplace(chunks[depth], groups.size());
      if (added) groups.emplace_back();
      groups[found->second].push_back(member);
    }
    for (auto const& group : groups) place(group, depth);
  }

  void place(std::vector<std::size_t> const& group, std::size_t depth) {
    if (group.size() == 1) {
      std::int64_t const private_tokens = in_.sequences[group[0]].tokens - std::int64_t(depth) * in_.chunk_tokens;
      plan_.held_chunks += private_tokens / in_.chunk_tokens + 1;  // the last one is never full
      plan_.row_of[group[0]] = next_row_++;
      return;
    }
    plan_.shared.push_back({in_.sequences[group[0]].full_chunks[depth], next_row_, group.size()});
    plan_.held_chunks += 1;
    visit(group, depth + 1);
  }

  SharedPrefixRowsInput const& in_;
  SharedPrefixRowsPlan plan_{};
  std::size_t next_row_ = 0;
};

}  // namespace

SharedPrefixRowsPlan plan_shared_prefix_rows(SharedPrefixRowsInput const& in) { return Walk(in).run(); }

}  // namespace windlass
