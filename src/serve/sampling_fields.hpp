/// The sampling fields that completions and chat share.
#pragma once

#include "src/serve/fields.hpp"
#include "src/serve/openai_request.hpp"

namespace windlass {

/// Fills sampling, seed, choices, cache salt and the answer's options that both endpoints have; max_tokens is left at 0
/// where the request has none. Throws ApiError.
void read_sampling_fields(Fields const& body, RequestRules const& rules, ApiRequest& request);

/// The length the request asks for, under the names that the endpoint has; nothing where it asks for none.
std::optional<int> requested_max_tokens(Fields const& body, Endpoint endpoint);

/// Throws ApiError where the request asks for something that would change the answer and is not supported: refusing
/// beats answering something else.
void refuse_unsupported_fields(Fields const& body);

}  // namespace windlass
