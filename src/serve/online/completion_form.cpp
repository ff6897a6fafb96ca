#include "src/serve/online/answer_form.hpp"
#include "src/serve/openai_stream.hpp"

namespace windlass {
namespace {

class CompletionForm final : public AnswerForm {
 public:
  CompletionForm(RecordHead const& head, ApiRequest const& request, Tokenizer const* tokenizer)
      : head_(head), request_(request), tokenizer_(tokenizer), stream_(head, request, tokenizer) {}

  void delta(std::size_t prompt, ChoiceDelta const& delta, EventSink const& send) override {
    send(stream_.event(prompt, delta));
  }
  void prompt_done(std::size_t prompt, Answer const& answer, EventSink const& send) override {
    for (int choice = 0; choice < request_.choices; ++choice) send(stream_.end_event(prompt, choice, answer));
  }
  void all_done(std::span<Answer const> answers, EventSink const& send) override {
    if (request_.include_usage) send(stream_.usage_event(answers));
    send("[DONE]");
  }
  std::string body(std::span<Answer const> answers) override {
    return answer_body(head_, request_, answers, tokenizer_);
  }

 private:
  RecordHead head_;
  ApiRequest const& request_;
  Tokenizer const* tokenizer_;
  StreamWriter stream_;
};

}  // namespace

std::unique_ptr<AnswerForm> completion_form(RecordHead const& head, ApiRequest const& request,
                                            Tokenizer const* tokenizer) {
  return std::make_unique<CompletionForm>(head, request, tokenizer);
}

}  // namespace windlass
