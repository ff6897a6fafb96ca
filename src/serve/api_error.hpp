/// A request that cannot be answered, in the words of OpenAI's error object.
#pragma once

#include <string>
#include <utility>

#include "src/core/error.hpp"

namespace windlass {

/// An error of the input: the answer is {"message", "type": "invalid_request_error", "param", "code"}.
class ApiError : public InputError {
 public:
  struct Details {
    std::string message;  ///< names the field, its value, and what is possible
    std::string param;    ///< the field; empty: none
    std::string code;     ///< a word for programs; empty: none
    int status = 400;     ///< HTTP's; 500 and above: not the input's fault
  };
  explicit ApiError(Details details) : InputError(details.message), details_(std::move(details)) {}

  Details const& details() const { return details_; }

 private:
  Details details_;
};

}  // namespace windlass
