#include "src/serve/online/openapi_schemas.hpp"

namespace windlass {
namespace {

/// Fields that completions and chats share; each piece is a list of JSON members.
constexpr std::string_view sampling_fields = R"(
"model": {"type": ["string", "null"]},
"temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
"top_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
"top_k": {"type": ["integer", "null"], "minimum": -1},
"min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
"presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
"frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
"repetition_penalty": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 100},
"max_tokens": {"type": ["integer", "null"], "minimum": 0},
"min_tokens": {"type": ["integer", "null"], "minimum": 0},
"n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
"seed": {"type": ["integer", "null"]},
"stop": {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 1},
  {"type": "array", "maxItems": 16, "items": {"type": "string", "minLength": 1}}]},
"stop_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
"allowed_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
"logit_bias": {"type": ["object", "null"], "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}},
"ignore_eos": {"type": ["boolean", "null"]},
"skip_special_tokens": {"type": ["boolean", "null"]},
"prompt_logprobs": {"type": ["integer", "null"], "minimum": 0},
"prompt_logprobs_start": {"type": ["integer", "null"], "minimum": 0},
"return_tokens_as_token_ids": {"type": ["boolean", "null"]},
"priority": {"type": ["integer", "null"], "minimum": -1000000, "maximum": 1000000},
"deadline_ms": {"type": ["integer", "null"], "minimum": 1},
"truncate_prompt_tokens": {"type": ["integer", "null"], "minimum": -1},
"return_token_ids": {"type": ["boolean", "null"]},
"response_format": {"type": ["object", "null"], "required": ["type"], "properties": {
  "type": {"enum": ["text", "json_object", "json_schema"]}, "json_schema": {"type": ["object", "null"]}}},
"structured_outputs": {"type": ["object", "null"], "properties": {"json": {"type": ["object", "string", "boolean", "null"]},
  "regex": {"type": ["string", "null"]}, "choice": {"type": ["array", "null"], "items": {"type": "string"}},
  "json_object": {"type": ["boolean", "null"]}, "disable_any_whitespace": {"type": ["boolean", "null"]}}},
"cache_salt": {"type": ["string", "null"]},
"stream": {"type": ["boolean", "null"]},
"stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": ["boolean", "null"]}}})";

constexpr std::string_view completion_fields = R"(
"prompt": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}},
  {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}}]}}]},
"echo": {"type": ["boolean", "null"]},
"logprobs": {"type": ["integer", "null"], "minimum": 0},)";

constexpr std::string_view chat_fields = R"(
"messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Message"}},
"tools": {"type": ["array", "null"], "items": {"type": "object"}},
"tool_choice": {"enum": ["auto", "none", null]},
"logprobs": {"type": ["boolean", "null"]},
"top_logprobs": {"type": ["integer", "null"], "minimum": 0},
"max_completion_tokens": {"type": ["integer", "null"], "minimum": 0},
"include_reasoning": {"type": ["boolean", "null"]},
"add_generation_prompt": {"type": ["boolean", "null"]},
"continue_final_message": {"type": ["boolean", "null"]},
"chat_template_kwargs": {"type": ["object", "null"]},)";

constexpr std::string_view other_schemas =
    R"("Message": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"},
  "content": {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "items": {"type": "object"}}]}}},
"ResponseRequest": {"type": "object", "required": ["input"], "properties": {"model": {"type": ["string", "null"]},
  "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
  "instructions": {"type": ["string", "null"]}, "max_output_tokens": {"type": ["integer", "null"], "minimum": 0},
  "temperature": {"type": ["number", "null"], "minimum": 0}, "stream": {"type": ["boolean", "null"]}}},
"FileUpload": {"type": "object", "required": ["file", "purpose"], "properties": {
  "file": {"type": "string", "format": "binary"}, "purpose": {"enum": ["batch"]}}},
"BatchRequest": {"type": "object", "required": ["input_file_id", "endpoint", "completion_window"], "properties": {
  "input_file_id": {"type": "string"}, "endpoint": {"enum": ["/v1/completions", "/v1/chat/completions"]},
  "completion_window": {"enum": ["24h"]}, "metadata": {"type": ["object", "null"], "maxProperties": 16,
  "propertyNames": {"maxLength": 64}, "additionalProperties": {"type": "string", "maxLength": 512}}}},
"TokenizeRequest": {"type": "object", "properties": {"prompt": {"type": ["string", "null"]},
  "messages": {"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Message"}},
  "add_special_tokens": {"type": ["boolean", "null"]}, "return_token_strs": {"type": ["boolean", "null"]}}},
"DetokenizeRequest": {"type": "object", "required": ["tokens"],
  "properties": {"tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}}},
"Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object",
  "required": ["message", "type", "param", "code"], "properties": {"message": {"type": "string"},
  "type": {"type": "string"}, "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}}}})";

constexpr std::string_view answer_schemas = R"(
"Usage": {"type": "object", "required": ["prompt_tokens", "completion_tokens", "total_tokens"], "properties": {
  "prompt_tokens": {"type": "integer"}, "completion_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"},
  "prompt_tokens_details": {"type": "object", "properties": {"cached_tokens": {"type": "integer"}}}}},
"Completion": {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"], "properties": {
  "id": {"type": "string"}, "object": {"const": "text_completion"}, "created": {"type": "integer"},
  "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"}, "choices": {"type": "array", "items": {
  "type": "object", "required": ["index", "text", "logprobs", "finish_reason"], "properties": {
  "index": {"type": "integer"}, "text": {"type": "string"}, "logprobs": {"type": ["object", "null"]},
  "finish_reason": {"enum": ["stop", "length"]}}}}}},
"ChatCompletion": {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"], "properties": {
  "id": {"type": "string"}, "object": {"const": "chat.completion"}, "created": {"type": "integer"},
  "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"}, "choices": {"type": "array", "items": {
  "type": "object", "required": ["index", "message", "logprobs", "finish_reason"], "properties": {
  "index": {"type": "integer"}, "logprobs": {"type": ["object", "null"]},
  "finish_reason": {"enum": ["stop", "length", "tool_calls"]}, "message": {"type": "object",
  "required": ["role", "content"], "properties": {"role": {"const": "assistant"}, "content": {"type": ["string", "null"]},
  "reasoning_content": {"type": "string"}, "tool_calls": {"type": "array", "items": {"type": "object"}}}}}}}}},
"Response": {"type": "object", "required": ["id", "object", "created_at", "status", "model", "output", "usage"],
  "properties": {"id": {"type": "string"}, "object": {"const": "response"}, "created_at": {"type": "integer"},
  "status": {"enum": ["completed", "incomplete"]}, "model": {"type": "string"},
  "output": {"type": "array", "items": {"type": "object"}}, "usage": {"type": "object"}}},
"Model": {"type": "object", "required": ["id", "object", "created", "owned_by", "max_model_len"], "properties": {
  "id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": {"type": "string"},
  "max_model_len": {"type": "integer"}}},
"ModelList": {"type": "object", "required": ["object", "data"], "properties": {"object": {"const": "list"},
  "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}},
"File": {"type": "object", "required": ["id", "object", "bytes", "created_at", "filename", "purpose"], "properties": {
  "id": {"type": "string"}, "object": {"const": "file"}, "bytes": {"type": "integer"},
  "created_at": {"type": "integer"}, "filename": {"type": "string"}, "purpose": {"type": "string"}}},
"FileList": {"type": "object", "required": ["object", "data", "has_more"], "properties": {"object": {"const": "list"},
  "has_more": {"type": "boolean"}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/File"}}}},
"DeletedFile": {"type": "object", "required": ["id", "object", "deleted"], "properties": {"id": {"type": "string"},
  "object": {"const": "file"}, "deleted": {"const": true}}},
"Batch": {"type": "object", "required": ["id", "object", "endpoint", "input_file_id", "status", "created_at",
  "request_counts"], "properties": {"id": {"type": "string"}, "object": {"const": "batch"},
  "endpoint": {"type": "string"}, "input_file_id": {"type": "string"}, "status": {"enum": ["validating", "in_progress",
  "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]}, "created_at": {"type": "integer"},
  "output_file_id": {"type": ["string", "null"]}, "error_file_id": {"type": ["string", "null"]},
  "request_counts": {"type": "object", "required": ["total", "completed", "failed"]}}},
"BatchList": {"type": "object", "required": ["object", "data", "has_more"], "properties": {"object": {"const": "list"},
  "has_more": {"type": "boolean"}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/Batch"}}}},
"Tokens": {"type": "object", "required": ["count", "max_model_len", "tokens"], "properties": {
  "count": {"type": "integer"}, "max_model_len": {"type": "integer"},
  "tokens": {"type": "array", "items": {"type": "integer"}},
  "token_strs": {"type": ["array", "null"], "items": {"type": "string"}}}},
"Text": {"type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
"TokenizerInfo": {"type": "object", "required": ["vocab_size", "model_max_length", "eos_token_ids", "special_tokens"],
  "properties": {"vocab_size": {"type": "integer"}, "model_max_length": {"type": "integer"},
  "bos_token": {"type": "string"}, "eos_token": {"type": "string"},
  "eos_token_ids": {"type": "array", "items": {"type": "integer"}},
  "special_tokens": {"type": "array", "items": {"type": "object", "required": ["id", "content"]}}}},
"Health": {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "loading", "draining"]}}},
"Version": {"type": "object", "required": ["version"], "properties": {"version": {"type": "string"}}},
"Document": {"type": "object", "required": ["openapi", "paths"]},)";

std::string object_schema(char const* required, std::string_view own, std::string_view shared) {
  std::string schema = R"({"type":"object","required":[")";
  schema.append(required).append(R"("],"properties":{)").append(own).append(shared).append("}}");
  return schema;
}

}  // namespace

std::string openapi_schemas() {
  std::string all = R"({"CompletionRequest":)" + object_schema("prompt", completion_fields, sampling_fields);
  all.append(R"(,"ChatRequest":)").append(object_schema("messages", chat_fields, sampling_fields));
  return all.append(",").append(answer_schemas).append(other_schemas).append("}");
}

}  // namespace windlass
