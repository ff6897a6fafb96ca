/// What `--layout` asks for: how many instances of which role and degree the ranks of a job form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

enum class Role : std::uint8_t { prefill, decode, mixed };

/// "prefill", "decode" or "mixed".
char const* role_name(Role role);

/// Equal instances. One takes tp * pp ranks.
struct InstanceGroup {
  Role role = Role::mixed;
  int instances = 1;
  int tp = 1, pp = 1;
  int ranks() const { return instances * tp * pp; }
  bool operator==(InstanceGroup const&) const = default;
};

enum class ControllerPlace : std::uint8_t {
  shares,    ///< rank 0 schedules on a thread of its own and computes too
  dedicated  ///< rank 0 computes nothing
};

struct Layout {
  std::vector<InstanceGroup> groups;  ///< empty: `auto`
  int spare_ranks = 0;
  ControllerPlace controller = ControllerPlace::shares;

  bool is_automatic() const { return groups.empty(); }
  /// Ranks that all of it takes.
  int ranks() const;
  bool operator==(Layout const&) const = default;
};

/// Reads
///   layout := "auto" | item ("," item)*
///   item   := role "=" count ["x" degree] | "spare=" count | "controller=dedicated"
///   degree := ["tp" count] ["pp" count]        role := "prefill" | "decode" | "mixed"
/// such as "prefill=2xtp2,decode=1xtp4pp2,spare=1". "auto" may stand beside spare and controller. Throws InputError
/// that names the item and what would be right, also where prefill stands without decode or the other way round.
Layout parse_layout(std::string_view words);

/// The layout in that grammar.
std::string to_text(Layout const& layout);

}  // namespace windlass
