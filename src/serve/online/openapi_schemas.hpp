/// The forms of requests and answers, as JSON schemas.
#pragma once

#include <string>

namespace windlass {

/// A JSON object: schemas by name, for `components.schemas` of the description. What is optional may be null.
std::string openapi_schemas();

}  // namespace windlass
