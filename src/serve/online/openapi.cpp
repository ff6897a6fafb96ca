#include "src/serve/online/openapi.hpp"

#include <array>
#include <string_view>

#include "src/serve/json_text.hpp"

namespace windlass {
namespace {

struct Operation {
  char const* path;
  char const* method;
  char const* summary;
  char const* request;   ///< name of the schema of its body; null: none
  char const* response;  ///< media type of a good answer
  char const* request_type = "application/json";

  bool streams() const { return request && std::string_view(path).starts_with("/v1/") && !is_about_files(); }
  bool is_about_files() const {
    return std::string_view(path).starts_with("/v1/files") || std::string_view(path).starts_with("/v1/batches");
  }
};

constexpr char const* json_type = "application/json";

constexpr std::array<Operation, 23> operations = {{
    {"/v1/completions", "post", "Continues prompts", "CompletionRequest", json_type},
    {"/v1/chat/completions", "post", "Answers a chat", "ChatRequest", json_type},
    {"/v1/responses", "post", "Answers an input of text", "ResponseRequest", json_type},
    {"/v1/models", "get", "The model that is served", nullptr, json_type},
    {"/v1/models/{model}", "get", "One model", nullptr, json_type},
    {"/v1/files", "get", "The files that you keep here", nullptr, json_type},
    {"/v1/files", "post", "Uploads a file of batch requests", "FileUpload", json_type, "multipart/form-data"},
    {"/v1/files/{file_id}", "get", "One file", nullptr, json_type},
    {"/v1/files/{file_id}", "delete", "Deletes a file", nullptr, json_type},
    {"/v1/files/{file_id}/content", "get", "What is in a file", nullptr, "application/octet-stream"},
    {"/v1/batches", "get", "Your batches", nullptr, json_type},
    {"/v1/batches", "post", "Answers the requests of a file", "BatchRequest", json_type},
    {"/v1/batches/{batch_id}", "get", "One batch", nullptr, json_type},
    {"/v1/batches/{batch_id}/cancel", "post", "Ends a batch", nullptr, json_type},
    {"/tokenize", "post", "Token ids of a prompt or a chat", "TokenizeRequest", json_type},
    {"/detokenize", "post", "The text of token ids", "DetokenizeRequest", json_type},
    {"/tokenizer_info", "get", "Sizes and special tokens of the tokenizer", nullptr, json_type},
    {"/", "get", "A page for browsers", nullptr, "text/html"},
    {"/health", "get", "Whether the server takes requests", nullptr, json_type},
    {"/ping", "get", "Whether the server takes requests", nullptr, json_type},
    {"/version", "get", "The server's version", nullptr, json_type},
    {"/metrics", "get", "Figures for Prometheus", nullptr, "text/plain"},
    {"/openapi.json", "get", "This document", nullptr, json_type},
}};

/// Fields that completions and chats share; each piece is a list of JSON members.
constexpr std::string_view sampling_fields = R"(
"model": {"type": "string"},
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
  "type": {"enum": ["text", "json_object", "json_schema"]}, "json_schema": {"type": "object"}}},
"structured_outputs": {"type": ["object", "null"], "properties": {"json": {"type": ["object", "string"]},
  "regex": {"type": "string"}, "choice": {"type": "array", "items": {"type": "string"}},
  "json_object": {"type": "boolean"}, "disable_any_whitespace": {"type": "boolean"}}},
"cache_salt": {"type": ["string", "null"]},
"stream": {"type": ["boolean", "null"]},
"stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": "boolean"}}})";

constexpr std::string_view completion_fields = R"(
"prompt": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}},
  {"type": "array", "items": {"type": "integer", "minimum": 0}},
  {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}}}]},
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

constexpr std::string_view other_schemas = R"(
"Message": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"},
  "content": {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "items": {"type": "object"}}]}}},
"ResponseRequest": {"type": "object", "required": ["input"], "properties": {"model": {"type": "string"},
  "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
  "instructions": {"type": ["string", "null"]}, "max_output_tokens": {"type": ["integer", "null"], "minimum": 0},
  "temperature": {"type": ["number", "null"], "minimum": 0}, "stream": {"type": ["boolean", "null"]}}},
"FileUpload": {"type": "object", "required": ["file", "purpose"], "properties": {
  "file": {"type": "string", "format": "binary"}, "purpose": {"enum": ["batch"]}}},
"BatchRequest": {"type": "object", "required": ["input_file_id", "endpoint", "completion_window"], "properties": {
  "input_file_id": {"type": "string"}, "endpoint": {"enum": ["/v1/completions", "/v1/chat/completions"]},
  "completion_window": {"enum": ["24h"]}, "metadata": {"type": ["object", "null"], "maxProperties": 16,
  "propertyNames": {"maxLength": 64}, "additionalProperties": {"type": "string", "maxLength": 512}}}},
"TokenizeRequest": {"type": "object", "properties": {"prompt": {"type": "string"},
  "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
  "add_special_tokens": {"type": "boolean"}, "return_token_strs": {"type": "boolean"}}},
"DetokenizeRequest": {"type": "object", "required": ["tokens"],
  "properties": {"tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}}},
"Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object",
  "required": ["message", "type", "param", "code"], "properties": {"message": {"type": "string"},
  "type": {"type": "string"}, "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}}}})";

std::string object_schema(char const* required, std::string_view own, std::string_view shared) {
  std::string schema = R"({"type":"object","required":[")";
  schema.append(required).append(R"("],"properties":{)").append(own).append(shared).append("}}");
  return schema;
}

void write_operation(JsonText& out, Operation const& operation) {
  out.key(operation.method).begin_object().member("summary", operation.summary);
  std::string_view const path = operation.path;
  if (std::size_t const begin = path.find('{'); begin != std::string_view::npos) {
    out.key("parameters").begin_array().begin_object();
    out.member("name", path.substr(begin + 1, path.find('}') - begin - 1))
        .member("in", "path")
        .member("required", true);
    out.key("schema").raw(R"({"type":"string","pattern":"^[^/?#]+$"})").end_object().end_array();
  }
  if (operation.request) {
    std::string const reference = std::string("#/components/schemas/") + operation.request;
    out.key("requestBody").begin_object().member("required", true).key("content").begin_object();
    out.key(operation.request_type).begin_object().key("schema").begin_object().member("$ref", reference);
    out.end_object().end_object().end_object().end_object();
  }
  bool const open = std::string_view(operation.summary) == "Whether the server takes requests";
  if (open) out.key("security").begin_array().end_array();
  out.key("responses").begin_object().key("200").begin_object().member("description", "the answer");
  out.key("content").begin_object().key(operation.response).begin_object().end_object();
  if (operation.streams()) out.key("text/event-stream").begin_object().end_object();
  out.end_object().end_object();
  out.key("default").begin_object().member("description", "why there is none").key("content").begin_object();
  out.key(json_type).raw(open ? "{}" : R"({"schema":{"$ref":"#/components/schemas/Error"}})").end_object();
  out.end_object().end_object().end_object();
}

}  // namespace

std::string openapi_document(std::string const& version) {
  JsonText out;
  out.begin_object().member("openapi", "3.1.0").key("info").begin_object().member("title", "Windlass");
  out.member("version", version).end_object().key("security").raw(R"([{"key":[]}])").key("paths").begin_object();
  std::string_view path;
  for (Operation const& operation : operations) {
    if (operation.path != path) {
      if (!path.empty()) out.end_object();
      out.key(path = operation.path).begin_object();
    }
    write_operation(out, operation);
  }
  out.end_object().end_object().key("components").begin_object();
  out.key("securitySchemes").raw(R"({"key":{"type":"http","scheme":"bearer"}})").key("schemas").begin_object();
  out.key("CompletionRequest").raw(object_schema("prompt", completion_fields, sampling_fields));
  out.key("ChatRequest").raw(object_schema("messages", chat_fields, sampling_fields));
  out.raw(other_schemas.substr(1)).end_object().end_object().end_object();
  return out.take();
}

}  // namespace windlass
