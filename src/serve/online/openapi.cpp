#include "src/serve/online/openapi.hpp"

#include <array>
#include <string_view>

#include "src/serve/json_text.hpp"
#include "src/serve/online/openapi_schemas.hpp"

namespace windlass {
namespace {

enum class Streams : std::uint8_t { no, on_request };

struct Operation {
  char const* path;
  char const* method;
  char const* summary;
  char const* request;  ///< name of the schema of its body; null: none
  char const* answer;   ///< name of the schema of a good answer's JSON, or another media type
  Streams streams = Streams::no;
  char const* query = nullptr;  ///< its parameters, as a JSON list without brackets; null: none
};

constexpr char const* json_type = "application/json";
constexpr char const* page_of_files =
    R"({"name":"limit","in":"query","schema":{"type":"integer","minimum":1,"maximum":10000}},)"
    R"({"name":"after","in":"query","schema":{"type":"string"}},)"
    R"({"name":"order","in":"query","schema":{"enum":["asc","desc"]}},)"
    R"({"name":"purpose","in":"query","schema":{"type":"string"}})";
constexpr char const* page_of_batches =
    R"({"name":"limit","in":"query","schema":{"type":"integer","minimum":1,"maximum":100}},)"
    R"({"name":"after","in":"query","schema":{"type":"string"}})";

constexpr std::array<Operation, 23> operations = {{
    {"/v1/completions", "post", "Continues prompts", "CompletionRequest", "Completion", Streams::on_request},
    {"/v1/chat/completions", "post", "Answers a chat", "ChatRequest", "ChatCompletion", Streams::on_request},
    {"/v1/responses", "post", "Answers an input of text", "ResponseRequest", "Response", Streams::on_request},
    {"/v1/models", "get", "The model that is served", nullptr, "ModelList"},
    {"/v1/models/{model}", "get", "One model", nullptr, "Model"},
    {"/v1/files", "get", "The files that you keep here", nullptr, "FileList", Streams::no, page_of_files},
    {"/v1/files", "post", "Uploads a file of batch requests", "FileUpload", "File"},
    {"/v1/files/{file_id}", "get", "One file", nullptr, "File"},
    {"/v1/files/{file_id}", "delete", "Deletes a file", nullptr, "DeletedFile"},
    {"/v1/files/{file_id}/content", "get", "What is in a file", nullptr, "application/octet-stream"},
    {"/v1/batches", "get", "Your batches", nullptr, "BatchList", Streams::no, page_of_batches},
    {"/v1/batches", "post", "Answers the requests of a file", "BatchRequest", "Batch"},
    {"/v1/batches/{batch_id}", "get", "One batch", nullptr, "Batch"},
    {"/v1/batches/{batch_id}/cancel", "post", "Ends a batch", nullptr, "Batch"},
    {"/tokenize", "post", "Token ids of a prompt or a chat", "TokenizeRequest", "Tokens"},
    {"/detokenize", "post", "The text of token ids", "DetokenizeRequest", "Text"},
    {"/tokenizer_info", "get", "Sizes and special tokens of the tokenizer", nullptr, "TokenizerInfo"},
    {"/", "get", "A page for browsers", nullptr, "text/html"},
    {"/health", "get", "Whether the server takes requests", nullptr, "Health"},
    {"/ping", "get", "Whether the server takes requests", nullptr, "Health"},
    {"/version", "get", "The server's version", nullptr, "Version"},
    {"/metrics", "get", "Figures for Prometheus", nullptr, "text/plain"},
    {"/openapi.json", "get", "This document", nullptr, "Document"},
}};

/// {"schema": {"$ref": …}}
void write_reference(JsonText& out, std::string_view schema) {
  out.begin_object().key("schema").begin_object();
  out.member("$ref", std::string("#/components/schemas/").append(schema)).end_object().end_object();
}

void write_parameters(JsonText& out, Operation const& operation) {
  std::string_view const path = operation.path;
  if (operation.query) out.key("parameters").raw(std::string("[") + operation.query + "]");
  std::size_t const begin = path.find('{');
  if (begin == std::string_view::npos) return;
  out.key("parameters").begin_array().begin_object();
  out.member("name", path.substr(begin + 1, path.find('}') - begin - 1)).member("in", "path").member("required", true);
  out.key("schema").raw(R"({"type":"string","pattern":"^[^/?#]+$"})").end_object().end_array();
}

void write_request(JsonText& out, Operation const& operation) {
  if (!operation.request) return;
  std::string_view const schema = operation.request;
  out.key("requestBody").begin_object().member("required", true).key("content").begin_object();
  write_reference(out.key(schema == "FileUpload" ? "multipart/form-data" : json_type), schema);
  out.end_object().end_object();
}

void write_answers(JsonText& out, Operation const& operation) {
  std::string_view const answer = operation.answer;
  out.key("responses").begin_object().key("200").begin_object().member("description", "the answer");
  out.key("content").begin_object();
  if (answer.find('/') != std::string_view::npos)
    out.key(answer).begin_object().end_object();
  else
    write_reference(out.key(json_type), answer);
  if (operation.streams == Streams::on_request) out.key("text/event-stream").begin_object().end_object();
  out.end_object().end_object();
  out.key("default").begin_object().member("description", "why there is none").key("content").begin_object();
  write_reference(out.key(json_type), answer == "Health" ? "Health" : "Error");
  out.end_object().end_object().end_object();
}

void write_operation(JsonText& out, Operation const& operation) {
  out.key(operation.method).begin_object().member("summary", operation.summary);
  write_parameters(out, operation);
  write_request(out, operation);
  if (std::string_view(operation.answer) == "Health")
    out.key("security").begin_array().end_array();  // nobody needs a key
  write_answers(out, operation);
  out.end_object();
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
  out.key("securitySchemes").raw(R"({"key":{"type":"http","scheme":"bearer"}})").key("schemas").raw(openapi_schemas());
  out.end_object().end_object();
  return out.take();
}

}  // namespace windlass
