#include "src/store/checkpoint_tables.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

#define WINDLASS_COLUMN(row, member) \
  { #member, offsetof(row, member), sizeof(row::member) }

constexpr TableColumn block_columns[] = {WINDLASS_COLUMN(BlockRow, name_high), WINDLASS_COLUMN(BlockRow, name_low),
                                         WINDLASS_COLUMN(BlockRow, parent_high), WINDLASS_COLUMN(BlockRow, parent_low)};
constexpr TableColumn page_columns[] = {WINDLASS_COLUMN(PageRow, name_high), WINDLASS_COLUMN(PageRow, name_low),
                                        WINDLASS_COLUMN(PageRow, group),     WINDLASS_COLUMN(PageRow, file),
                                        WINDLASS_COLUMN(PageRow, row),       WINDLASS_COLUMN(PageRow, zero)};
constexpr TableColumn request_columns[] = {
    WINDLASS_COLUMN(RequestRow, name_high),      WINDLASS_COLUMN(RequestRow, name_low),
    WINDLASS_COLUMN(RequestRow, first_choice),   WINDLASS_COLUMN(RequestRow, choices),
    WINDLASS_COLUMN(RequestRow, progress_begin), WINDLASS_COLUMN(RequestRow, progress_bytes)};
constexpr TableColumn choice_columns[] = {WINDLASS_COLUMN(ChoiceRow, choice), WINDLASS_COLUMN(ChoiceRow, prompt_tokens),
                                          WINDLASS_COLUMN(ChoiceRow, generated_tokens),
                                          WINDLASS_COLUMN(ChoiceRow, computed),
                                          WINDLASS_COLUMN(ChoiceRow, first_token)};
#undef WINDLASS_COLUMN

constexpr TableType block_type{block_columns, sizeof(BlockRow)};
constexpr TableType page_type{page_columns, sizeof(PageRow)};
constexpr TableType request_type{request_columns, sizeof(RequestRow)};
constexpr TableType choice_type{choice_columns, sizeof(ChoiceRow)};

NumbersShape token_shape(std::uint64_t rows, std::uint64_t width) {
  return {.rows = rows, .width = width, .element_bytes = sizeof(TokenId)};
}

template <class Row>
void read_rows(Hdf5File const& file, char const* name, TableType const& type, std::vector<Row>& rows) {
  rows.resize(file.rows_of(name));
  file.read_table(name, type, rows.data());
}

template <class Value>
void read_values(Hdf5File const& file, char const* name, std::uint64_t width, std::vector<Value>& values) {
  std::uint64_t const rows = file.rows_of(name);
  values.resize(rows * width);
  file.read_numbers(name, {.rows = rows, .width = width, .element_bytes = sizeof(Value)}, values.data());
}

/// [begin, begin + count) of a table, where it is there.
template <class Value>
std::span<Value const> part_of_table(std::vector<Value> const& all, std::uint64_t begin, std::uint64_t count) {
  if (begin > all.size() || count > all.size() - begin) throw FileError("rows beyond the end of a table");
  return std::span(all).subspan(begin, count);
}

SavedRequest request_of(PartTables const& tables, RequestRow const& row) {
  SavedRequest request{.name = {row.name_low, row.name_high}, .choices = {}, .progress = {}};
  auto const progress = part_of_table(tables.progress, row.progress_begin, row.progress_bytes);
  request.progress.assign(progress.begin(), progress.end());
  for (ChoiceRow const& choice : part_of_table(tables.choices, row.first_choice, row.choices)) {
    auto const count = std::uint64_t(choice.prompt_tokens) + choice.generated_tokens;
    auto const tokens = part_of_table(tables.tokens, choice.first_token, count);
    request.choices.push_back({.choice = choice.choice,
                               .prompt_tokens = choice.prompt_tokens,
                               .generated_tokens = choice.generated_tokens,
                               .computed = choice.computed,
                               .tokens = {tokens.begin(), tokens.end()}});
  }
  return request;
}

}  // namespace

PartTables tables_of(CheckpointContent const& content) {
  PartTables tables;
  for (SavedBlock const& block : content.blocks) {
    tables.blocks.push_back({block.name.high, block.name.low, block.parent.high, block.parent.low});
    tables.block_tokens.insert(tables.block_tokens.end(), block.tokens.begin(), block.tokens.end());
  }
  for (SavedRequest const& request : content.requests) {
    tables.requests.push_back({request.name.high, request.name.low, tables.choices.size(), request.choices.size(),
                               tables.progress.size(), request.progress.size()});
    tables.progress.insert(tables.progress.end(), request.progress.begin(), request.progress.end());
    for (SavedChoice const& choice : request.choices) {
      tables.choices.push_back(
          {choice.choice, choice.prompt_tokens, choice.generated_tokens, choice.computed, tables.tokens.size()});
      tables.tokens.insert(tables.tokens.end(), choice.tokens.begin(), choice.tokens.end());
    }
  }
  return tables;
}

SavedPart part_of(PartTables tables, std::string const& path) {
  SavedPart part;
  try {
    if (tables.block_tokens.size() != tables.blocks.size() * block_tokens ||
        tables.page_checksums.size() != tables.pages.size())
      throw FileError("tables of unlike lengths");
    for (std::size_t i = 0; i < tables.blocks.size(); ++i) {
      BlockRow const& row = tables.blocks[i];
      part.blocks.push_back({.name = {row.name_low, row.name_high}, .parent = {row.parent_low, row.parent_high}});
      std::copy_n(tables.block_tokens.begin() + std::ptrdiff_t(i * block_tokens), block_tokens,
                  part.blocks.back().tokens.begin());
    }
    for (std::size_t i = 0; i < tables.pages.size(); ++i) {
      PageRow const& row = tables.pages[i];
      part.pages[{.group = row.group, .name = {row.name_low, row.name_high}}] = {
          .file = row.file, .row = row.row, .checksum = tables.page_checksums[i]};
    }
    for (RequestRow const& row : tables.requests) part.requests.push_back(request_of(tables, row));
  } catch (FileError const& error) {
    throw FileError(text(path, ": damaged (", error.what(), ")"));
  }
  return part;
}

void write(Hdf5File& file, PartTables const& tables) {
  file.write_table("blocks", block_type, tables.blocks.data(), tables.blocks.size());
  file.write_numbers("block_tokens", token_shape(tables.blocks.size(), block_tokens), tables.block_tokens.data());
  file.write_table("pages", page_type, tables.pages.data(), tables.pages.size());
  file.write_table("requests", request_type, tables.requests.data(), tables.requests.size());
  file.write_table("choices", choice_type, tables.choices.data(), tables.choices.size());
  file.write_numbers("tokens", token_shape(tables.tokens.size(), 1), tables.tokens.data());
  file.write_numbers("progress", {.rows = tables.progress.size()}, tables.progress.data());
}

void read(Hdf5File const& file, PartTables& tables) {
  read_rows(file, "blocks", block_type, tables.blocks);
  read_values(file, "block_tokens", block_tokens, tables.block_tokens);
  read_rows(file, "pages", page_type, tables.pages);
  read_values(file, "page_checksums", 1, tables.page_checksums);
  read_rows(file, "requests", request_type, tables.requests);
  read_rows(file, "choices", choice_type, tables.choices);
  read_values(file, "tokens", 1, tables.tokens);
  read_values(file, "progress", 1, tables.progress);
}

}  // namespace windlass
