#include "jobs/serve_files.hpp"

#include <algorithm>

#include "src/core/hash.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"

namespace windlass {
namespace {

/// Batches leave a quarter of the engine's places to clients, who would wait for a whole request of a batch otherwise.
int places_of_batches(ServeOptions const& options) { return std::max(1, options.engine.max_num_seqs * 3 / 4); }

JournalIdentity identity_of(ServeOptions const& options, EngineSetup const& setup) {
  std::string const& chat_template = options.engine.model.chat_template_file;
  std::string const template_hash =
      chat_template.empty() ? "" : to_hex(hash_text(read_small_file(chat_template).value_or("")));
  return {.model_identity = to_hex(setup.model.identity),
          .model_path = options.engine.model.path,
          .input_hash = "",
          .options = {{"max-model-len", text(setup.model.max_model_len)},
                      {"hf-overrides", options.engine.model.hf_overrides},
                      {"chat-template", template_hash}},
          .arithmetic = {setup.arithmetic}};
}

}  // namespace

ServeFiles::ServeFiles(ServeOptions const& options)
    : own_folder_(options.files_folder.empty() ? std::optional<PrivateFolder>(std::in_place, "windlass-files")
                                               : std::nullopt),
      files_({.folder = own_folder_ ? own_folder_->path() : options.files_folder,
              .max_user_bytes = options.max_user_file_bytes}),
      batches_({.running_requests = places_of_batches(options)}, files_),
      routes_(files_, batches_) {}

void ServeFiles::start(ServeOptions const& options, EngineSetup const& setup, ServedModel const& served,
                       ApiService& service) {
  batches_.start({.served = &served,
                  .identity = identity_of(options, setup),
                  .on_end = [&service](std::string const& user, BatchRequestEnd const& end) {
                    service.count_batch_request(user, end);
                  }});
}

}  // namespace windlass
