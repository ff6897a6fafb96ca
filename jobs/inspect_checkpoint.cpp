// windlass inspect CHECKPOINT: what a checkpoint holds, and whether its files are whole.
#include <ctime>
#include <filesystem>
#include <iostream>
#include <set>

#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "src/core/bytes_text.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/checkpoint_folder.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_rows = 40;

std::string time_text(std::int64_t unix_s) {
  std::time_t const time = std::time_t(unix_s);
  std::tm parts{};
  char words[64] = "";
  if (::gmtime_r(&time, &parts) != nullptr) std::strftime(words, sizeof words, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return words;
}

void print_master(CheckpointMaster const& master) {
  CheckpointIdentity const& identity = master.identity;
  std::cout << text("checkpoint ", master.number, ", written ", time_text(master.written_unix_s),
                    master.planned_end ? ", at a planned end" : ", while the run went on", "\n", "  model ",
                    identity.model, ", tokenizer ", identity.tokenizer, "\n  arithmetic ", identity.arithmetic,
                    ", KV as ", identity.kv_format, "\n");
  for (std::size_t i = 0; i < identity.groups.size(); ++i) {
    CheckpointGroup const& group = identity.groups[i];
    std::cout << text("  layer group ", i, ": ", group.layers, " layers, ", group.kv_heads, " KV heads of ",
                      group.head_dim, ", ",
                      group.window_tokens == 0 ? "full attention" : text("window of ", group.window_tokens), ", ",
                      bytes_text(group.page_bytes), " a page of ", block_tokens, " tokens\n");
  }
}

struct PageCheck {
  std::size_t ok = 0, damaged = 0, missing = 0;
};

PageCheck check_pages(std::string const& folder, CheckpointIdentity const& identity, SavedPart const& part) {
  PageReader reader(folder);
  PageCheck check;
  std::vector<std::byte> page;
  for (auto const& [name, place] : part.pages) {
    page.resize(name.group < identity.groups.size() ? identity.groups[name.group].page_bytes : 0);
    bool const possible = place.file < part.files.size();
    auto const result = possible ? reader.read(part.files[place.file], place, name, page) : PageReader::Result::damaged;
    ++(result == PageReader::Result::ok        ? check.ok
       : result == PageReader::Result::damaged ? check.damaged
                                               : check.missing);
  }
  return check;
}

void print_part(std::string const& folder, CheckpointMaster const& master, std::string const& name) {
  SavedPart const part = read_part(folder + "/" + name);
  PageCheck const check = check_pages(folder, master.identity, part);
  std::cout << text("  ", name, ": ", part.requests.size(), " requests, ", part.blocks.size(), " blocks, ",
                    part.pages.size(), " pages in ", part.files.size(), " files: ", check.ok, " whole, ", check.damaged,
                    " damaged, ", check.missing, " missing\n");
  std::size_t rows = 0;
  for (SavedRequest const& request : part.requests)
    for (SavedChoice const& choice : request.choices) {
      if (++rows > most_rows) continue;
      std::cout << text("    request ", to_hex(request.name).substr(0, 12), ", choice ", choice.choice, ": ",
                        choice.prompt_tokens, " prompt tokens, ", choice.generated_tokens, " generated, KV of ",
                        choice.computed, "\n");
    }
  if (rows > most_rows) std::cout << text("    and ", rows - most_rows, " more\n");
}

/// The newest master of a folder; a file is itself.
std::string master_file(std::string const& path) {
  if (!fs::is_directory(path)) return path;
  auto const masters = checkpoint_masters(path);
  return masters.empty() ? "" : path + "/" + masters.rbegin()->second;
}

}  // namespace

bool is_checkpoint(std::string const& path) {
  std::error_code failed;
  if (fs::is_directory(path, failed)) return !checkpoint_masters(path).empty();
  return path.ends_with(".h5");
}

int inspect_checkpoint_command(std::string const& path) {
  std::string const file = master_file(path);
  std::string const folder = (fs::path("./") / fs::path(file).parent_path()).string();
  if (fs::path(file).filename().string().rfind("part-", 0) == 0)
    throw InputError(text(path, ": a part of a checkpoint; name the folder, or its checkpoint-*.h5"));
  CheckpointMaster const master = read_master(file);
  print_master(master);
  int damaged = 0;
  for (std::size_t i = 0; i < master.parts.size(); ++i) {
    try {
      if (verified_user_block(folder + "/" + master.parts[i]).digest != master.part_digests[i])
        throw FileError(text(master.parts[i], ": not the file that the checkpoint means"));
      print_part(folder, master, master.parts[i]);
    } catch (FileError const& error) {
      std::cout << "  " << error.what() << "\n";
      ++damaged;
    }
  }
  return damaged == 0 ? exit_done : exit_failed;
}

}  // namespace windlass
