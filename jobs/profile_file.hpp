/// The file that `windlass bench --profile` writes and scenarios name ("steps": {"kind": "measured", "path": …}).
#pragma once

#include <string>

#include "src/sim/measured_latency.hpp"

namespace windlass {

/// Throws FileError, or InputError that names file, line, field and what is allowed.
MeasuredProfile read_profile(std::string const& path);

/// One JSON object, version 1.
std::string profile_json(MeasuredProfile const& profile);

}  // namespace windlass
