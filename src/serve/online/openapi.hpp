/// The description of the routes that programs read.
#pragma once

#include <string>

namespace windlass {

/// An OpenAPI 3.1 document: routes, fields with their types and ranges, and what errors look like.
std::string openapi_document(std::string const& version);

}  // namespace windlass
