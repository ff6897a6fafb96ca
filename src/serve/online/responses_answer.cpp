#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "src/serve/json_text.hpp"
#include "src/serve/online/responses.hpp"

namespace windlass {
namespace {

/// The answer of one prompt with one choice. Events are numbered; the text's are in the order of OpenAI's.
class ResponseForm final : public AnswerForm {
 public:
  ResponseForm(RecordHead const& head, ApiRequest const& request, boost::json::object const& body)
      : head_(head), request_(request), id_(to_hex(head.key)) {
    if (auto const* instructions = body.if_contains("instructions"))
      instructions_ = boost::json::serialize(*instructions);
    if (auto const* metadata = body.if_contains("metadata")) metadata_ = boost::json::serialize(*metadata);
  }

  void delta(std::size_t, ChoiceDelta const& delta, EventSink const& send) override {
    if (delta.text.empty()) return;
    begin(send);
    text_ += delta.text;
    JsonText out = event("response.output_text.delta");
    place(out).member("delta", delta.text).key("logprobs").begin_array().end_array().end_object();
    send(out.text());
  }
  void prompt_done(std::size_t, Answer const&, EventSink const&) override {}
  void all_done(std::span<Answer const> answers, EventSink const& send) override {
    begin(send);
    JsonText whole = event("response.output_text.done");
    place(whole).member("text", text_).key("logprobs").begin_array().end_array().end_object();
    send(whole.text());
    JsonText part = event("response.content_part.done");
    place(part).key("part").raw(content_part(text_)).end_object();
    send(part.text());
    bool const cut = is_cut(answers);
    JsonText item = event("response.output_item.done");
    item.member("output_index", 0).key("item").raw(message(text_, cut ? "incomplete" : "completed")).end_object();
    send(item.text());
    JsonText end = event(cut ? "response.incomplete" : "response.completed");
    end.key("response").raw(body(answers)).end_object();
    send(end.text());
  }
  std::string body(std::span<Answer const> answers) override {
    bool const cut = is_cut(answers);
    return response(cut ? "incomplete" : "completed", answers.front().choices.front().text, &answers.front());
  }

 private:
  static bool is_cut(std::span<Answer const> answers) {
    return answers.front().choices.front().finish != FinishReason::stop;
  }

  void begin(EventSink const& send) {
    if (begun_) return;
    begun_ = true;
    for (char const* const type : {"response.created", "response.in_progress"}) {
      JsonText out = event(type);
      out.key("response").raw(response("in_progress", "", nullptr)).end_object();
      send(out.text());
    }
    JsonText item = event("response.output_item.added");
    item.member("output_index", 0).key("item").raw(message("", "in_progress")).end_object();
    send(item.text());
    JsonText part = event("response.content_part.added");
    place(part).key("part").raw(content_part("")).end_object();
    send(part.text());
  }

  JsonText event(char const* type) {
    JsonText out;
    out.begin_object().member("type", type).member("sequence_number", sequence_++);
    return out;
  }
  JsonText& place(JsonText& out) const {
    return out.member("item_id", "msg_" + id_).member("output_index", 0).member("content_index", 0);
  }
  static std::string content_part(std::string const& words) {
    JsonText out;
    out.begin_object().member("type", "output_text").member("text", words);
    out.key("annotations").begin_array().end_array().key("logprobs").begin_array().end_array().end_object();
    return out.take();
  }
  /// Before the first word there is no content.
  std::string message(std::string const& words, char const* status) const {
    JsonText out;
    out.begin_object().member("id", "msg_" + id_).member("type", "message").member("status", status);
    out.member("role", "assistant").key("content").begin_array();
    if (std::string_view(status) != "in_progress") out.raw(content_part(words));
    out.end_array().end_object();
    return out.take();
  }

  std::string response(std::string_view status, std::string const& words, Answer const* answer) const {
    JsonText out;
    out.begin_object().member("id", "resp_" + id_).member("object", "response").member("created_at", head_.created_s);
    out.member("status", status).key("error").null().key("incomplete_details");
    if (status == "incomplete")
      out.begin_object().member("reason", "max_output_tokens").end_object();
    else
      out.null();
    out.key("instructions").raw(instructions_).member("max_output_tokens", request_.sampling.max_tokens);
    out.member("model", request_.model).key("output").begin_array();
    if (answer) out.raw(message(words, status == "incomplete" ? "incomplete" : "completed"));
    out.end_array().member("parallel_tool_calls", true).key("previous_response_id").null();
    out.member("store", false).member("temperature", request_.sampling.temperature);
    out.key("text").raw(R"({"format":{"type":"text"}})").member("tool_choice", "auto").key("tools").raw("[]");
    out.member("top_p", request_.sampling.top_p).member("truncation", "disabled").key("metadata").raw(metadata_);
    out.key("usage");
    if (answer)
      write_usage(out, *answer);
    else
      out.null();
    out.end_object();
    return out.take();
  }
  void write_usage(JsonText& out, Answer const& answer) const {
    auto const prompt = std::int64_t(request_.prompt_tokens());
    auto const generated = std::int64_t(answer.choices.front().tokens.size());
    out.begin_object().member("input_tokens", prompt).key("input_tokens_details").begin_object();
    out.member("cached_tokens", answer.cached_tokens).end_object().member("output_tokens", generated);
    out.key("output_tokens_details").begin_object().member("reasoning_tokens", 0).end_object();
    out.member("total_tokens", prompt + generated).end_object();
  }

  RecordHead head_;
  ApiRequest const& request_;
  std::string id_, instructions_ = "null", metadata_ = "{}";  ///< the latter two are JSON
  std::string text_;
  int sequence_ = 0;
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<AnswerForm> response_form(RecordHead const& head, ApiRequest const& request,
                                          boost::json::object const& body) {
  return std::make_unique<ResponseForm>(head, request, body);
}

}  // namespace windlass
