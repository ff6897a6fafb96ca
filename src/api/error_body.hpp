/// OpenAI's error object.
#pragma once

#include <string>

#include "src/api/http.hpp"

namespace windlass {

struct ErrorDetails {
  std::string message;  ///< what is wrong and what to do
  std::string param;    ///< the field; empty: none
  std::string code;     ///< a word for programs; empty: none
};

/// {"message", "type", "param", "code"}; the type follows from the status.
std::string error_object(int status, ErrorDetails const& details);

/// A response with {"error": …} as its body.
HttpResponse error_response(int status, ErrorDetails const& details);

/// The same with Retry-After.
HttpResponse retry_later(int status, ErrorDetails const& details, int seconds);

}  // namespace windlass
