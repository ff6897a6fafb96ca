#include "jobs/batch_output.hpp"

#include <unistd.h>

#include <filesystem>

#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"
#include "src/serve/input_stream.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

/// Hash of a file's content, for options whose value is a file.
std::string hash_of_option_file(std::string const& path) {
  if (path.empty()) return "";
  return to_hex(hash_text(read_small_file(path).value_or("")));
}

JournalIdentity identity_of(BatchOptions const& options, EngineSetup const& setup) {
  JournalIdentity identity{
      .model_identity = to_hex(setup.model.identity),
      .model_path = options.engine.model.path,
      .options = {{"precision", options.given.at("precision")},
                  {"seed", options.given.at("seed")},
                  {"max-model-len", text(setup.model.max_model_len)},
                  {"hf-overrides", options.engine.model.hf_overrides},
                  {"chat-template", hash_of_option_file(options.engine.model.chat_template_file)},
                  {"use-model-sampling-defaults", options.given.at("use-model-sampling-defaults")}},
      .arithmetic = {setup.arithmetic}};
  if (options.input != "-" && std::filesystem::is_regular_file(options.input)) {
    ContentHash const content = hash_of_file(options.input);
    identity.input_hash = content.hex;
    identity.input_bytes = content.bytes;
  }
  return identity;
}

}  // namespace

BatchOutput::BatchOutput(BatchOptions const& options) {
  if (options.output != "-") {
    journal_ = std::make_unique<Journal>(
        JournalConfig{.path = options.output, .existing = options.existing, .arithmetic = options.arithmetic});
    return;
  }
  log_info("answers go to standard output: this run cannot be resumed (name a file with --output for that)");
}

std::optional<std::string> BatchOutput::recorded_arithmetic() const {
  if (!journal_ || !journal_->recorded()) return std::nullopt;
  return journal_->recorded()->arithmetic.back();
}

void BatchOutput::begin(BatchOptions const& options, EngineSetup const& setup) {
  if (!journal_) {
    stream_ = std::make_unique<LineWriter>(LineWriterConfig{
        .descriptor = STDOUT_FILENO, .path = "standard output", .target = LineWriterConfig::Target::stream});
    arithmetic_ = {setup.arithmetic};
    return;
  }
  journal_->begin(identity_of(options, setup));
  arithmetic_ = journal_->identity().arithmetic;
}

}  // namespace windlass
