/// OpenAI's /v1/responses, for text: requests become chats, and answers get that route's words.
#pragma once

#include <boost/json/object.hpp>
#include <memory>

#include "src/serve/online/answer_form.hpp"

namespace windlass {

/// The body of a chat that asks the same: `instructions` and `input` become messages. Throws ApiError for what needs a
/// memory of earlier responses, tools, or other input than text.
boost::json::object chat_of_response(boost::json::object const& body);

/// `body` is the request as it came; `request` is the chat's and must outlive the form.
std::unique_ptr<AnswerForm> response_form(RecordHead const& head, ApiRequest const& request,
                                          boost::json::object const& body);

}  // namespace windlass
