/// OpenAI's completion and chat requests, and the lines of a batch file that carry them.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/engine/request.hpp"
#include "src/model/model.hpp"
#include "src/model/tokenizer.hpp"
#include "src/model/tool_calls.hpp"
#include "src/serve/logprobs_json.hpp"
#include "src/serve/reasoning.hpp"

namespace windlass {

enum class Endpoint : std::uint8_t { completions, chat };

/// Whether requests may ask for their answer piece by piece.
enum class Streaming : std::uint8_t { refused, possible };

/// What turns a request's text into tokens, and what requests are held to. The tokenizer must outlive it.
struct RequestRules {
  std::string model_name;                                              ///< answered where a request names none
  std::string served_model_name;                                       ///< the only name requests may use; empty: any
  Tokenizer const* tokenizer = nullptr;                                ///< null: token-id prompts only
  std::string tokenizer_problem;                                       ///< why it is null
  std::function<std::string(boost::json::object const&)> render_chat;  ///< empty: no chat
  std::string chat_problem;                                            ///< why it is empty
  std::optional<ToolCallFormat> tool_calls;                            ///< how the template has the model write calls
  bool reasoning = false;                                              ///< the template knows <think>…</think>
  int vocab = 0;
  int max_model_len = 0;       ///< tokens, prompt and output together
  int max_logprobs = 20;       ///< entries per position that a request may ask for
  std::uint64_t job_seed = 0;  ///< for requests without a seed
  SuggestedSampling defaults;  ///< stand in for what a request leaves out; unset: OpenAI's defaults
  Streaming streaming = Streaming::refused;
};

/// One request, ready for the engine but for ids: each prompt becomes one `Request`.
struct ApiRequest {
  Endpoint endpoint = Endpoint::completions;
  std::string model;
  std::vector<std::vector<TokenId>> prompts;  ///< at least one, none empty
  std::vector<std::string> echo_texts;        ///< [prompts] what `echo` puts before the text; empty without echo
  SamplingParameters sampling;                ///< of every prompt; the seed is set
  bool seed_given = false;                    ///< by the request: then all prompts share it
  int choices = 1;
  std::string cache_salt;
  bool echo = false;
  std::optional<ToolCallFormat> tool_calls;  ///< the answer may have calls in this form
  bool return_token_ids = false;
  TokenNames token_names = TokenNames::texts;  ///< in log-probabilities
  int priority = 0;                            ///< lower ones first
  std::optional<std::int64_t> deadline_ms;     ///< from its arrival to its end; batches have no use for it
  std::optional<ReasoningStart> reasoning;     ///< the answer's thoughts are told apart
  bool include_reasoning = true;               ///< else they are left out
  bool stream = false;                         ///< piece by piece
  bool include_usage = false;                  ///< at the end of a stream
  std::optional<int> logprobs;                 ///< shown with each choice: this many top entries
  std::optional<int> prompt_logprobs;          ///< shown in the form of vLLM's field

  std::size_t prompt_tokens() const;
};

/// One line of a batch file: {"custom_id", "method", "url", "body"}.
struct BatchLine {
  Endpoint endpoint = Endpoint::completions;
  boost::json::object body;
};

/// The line's own id, or "line-N" where it has none. Throws ApiError where it is not a string or longer than 512 bytes.
std::string custom_id_of(boost::json::object const& line, std::uint64_t line_number);

/// Takes the envelope off. Throws ApiError where method, url or body are not what a batch may have.
BatchLine open_batch_line(boost::json::object line);

/// Checks the body and makes its prompts; `custom_id` names the random numbers where there is no seed. Throws ApiError.
ApiRequest parse_request(BatchLine const& line, std::string_view custom_id, RequestRules const& rules);

/// The seed of a prompt whose request gave none: a hash of the job's seed, the custom_id and the prompt's index.
std::uint64_t derived_seed(std::uint64_t job_seed, std::string_view custom_id, std::size_t prompt_index);

/// The request of the engine for one prompt; its id is left unset.
Request engine_request(ApiRequest const& request, std::size_t prompt_index, std::string_view custom_id,
                       std::uint64_t job_seed);

}  // namespace windlass
