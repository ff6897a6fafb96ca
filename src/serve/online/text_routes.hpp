/// What the routes beside completions answer: pure functions of the request and the model.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "src/serve/online/served_model.hpp"

namespace windlass {

/// The list of the one model that is served; `name` not empty: that model alone. Throws ApiError (model_not_found).
std::string models_body(ServedModel const& model, std::string_view name);

/// Sizes, and the special tokens with their ids. Throws ApiError.
std::string tokenizer_info_body(ServedModel const& model);

/// {"count", "max_model_len", "tokens", "token_strs"} of a prompt or of chat messages, as vLLM's /tokenize. Throws
/// ApiError.
std::string tokenize_body(boost::json::object const& request, ServedModel const& model);

/// {"prompt"} of {"tokens"}, special tokens included. Throws ApiError.
std::string detokenize_body(boost::json::object const& request, ServedModel const& model);

}  // namespace windlass
