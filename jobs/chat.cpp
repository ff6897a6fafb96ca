// windlass chat: a conversation in the terminal, with a running server or with a model.
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "jobs/chat_session.hpp"
#include "jobs/chat_terminal.hpp"
#include "jobs/child_command.hpp"
#include "jobs/commands.hpp"
#include "jobs/engine_options.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/private_folder.hpp"
#include "jobs/server_access.hpp"
#include "src/api/event_reader.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace po = boost::program_options;
namespace json = boost::json;
namespace fs = std::filesystem;

constexpr Microseconds answer_patience_us = 600'000'000;     ///< without a byte from the server
constexpr Microseconds loading_patience_us = 1'800'000'000;  ///< for a model to be read from a slow disk
constexpr int look_us = 20'000, drain_ms = 3000;

constexpr char const* introduction =
    "windlass chat talks with a model: with a running server, or, where --model is a file or a folder, with a server "
    "of\n"
    "its own that ends with the chat. Words behind '--' are options of that server (windlass serve --help).\n"
    "In the chat /help lists the commands; Ctrl-C stops an answer, Ctrl-D ends. Lines may come from a pipe too.\n";

po::options_description chat_options() {
  po::options_description options("Chat", help_width, help_text_width);
  options.add_options()("model", po::value<std::string>()->default_value(""),
                        "a GGUF file or a Hugging Face folder to talk with; or the name of the server's model");
  options.add_options()("system", po::value<std::string>()->default_value(""), "instructions for the model");
  options.add_options()("temperature", po::value<double>(), "0: always the most likely token");
  options.add_options()("top-p", po::value<double>(), "only the likeliest tokens with this probability together");
  options.add_options()("max-tokens", po::value<int>(), "longest answer, in tokens");
  options.add_options()("seed", po::value<std::int64_t>(), "the same seed and words give the same answers");
  options.add_options()("config", po::value<std::string>(), "read options from this file: lines 'name = value'");
  options.add_options()("help,h", "print this");
  return options;
}

json::object settings_of(po::variables_map const& values) {
  json::object settings;
  if (values.count("temperature")) settings["temperature"] = values["temperature"].as<double>();
  if (values.count("top-p")) settings["top_p"] = values["top-p"].as<double>();
  if (values.count("max-tokens")) settings["max_tokens"] = values["max-tokens"].as<int>();
  if (values.count("seed")) settings["seed"] = values["seed"].as<std::int64_t>();
  return settings;
}

/// A server for this chat alone, on a socket in a folder of its own.
class OwnServer {
 public:
  OwnServer(std::string const& model, std::vector<std::string> const& options)
      : child_(words(model, options), environment_for_command(::environ, {}), ChildInput::behind_a_pipe) {}
  ~OwnServer() {
    child_.send(SIGTERM);
    child_.end(drain_ms);
  }

  /// Waits until the model is there. Nothing where Ctrl-C came first. Throws InputError where the server ends.
  std::optional<ServerAccess> access(ChatTerminal& terminal) {
    Microseconds const end_us = now_us() + loading_patience_us;
    while (!fs::exists(folder_.file("endpoint.json"))) {
      if (auto const code = child_.exit_code())
        throw InputError(text("the model's server ended with exit code ", *code, "; what it said stands above"));
      if (now_us() > end_us) throw InputError("the model was not loaded within half an hour");
      if (terminal.interrupted()) return std::nullopt;
      ::usleep(look_us);
    }
    return read_endpoint_file(folder_.file("endpoint.json"));
  }

 private:
  std::vector<std::string> words(std::string const& model, std::vector<std::string> const& options) const {
    std::vector<std::string> all = {"/proc/self/exe",
                                    "serve",
                                    "--model",
                                    model,
                                    "--socket",
                                    folder_.file("socket"),
                                    "--quiet",
                                    "--endpoint-file",
                                    folder_.file("endpoint.json"),
                                    "--end-with-stdin"};
    all.insert(all.end(), options.begin(), options.end());
    return all;
  }

  PrivateFolder const folder_{"windlass-chat"};
  ChildCommand child_;
};

/// Prints an answer as it comes.
class PrintedAnswer final : public ResponseListener {
 public:
  explicit PrintedAnswer(ChatTerminal const& terminal) : terminal_(terminal) {}
  void on_head(int status) override { status_ = status; }
  void on_body(std::string_view piece) override {
    if (status_ != 200)
      error_ += piece;
    else
      events_.take(piece, [this](std::string_view data) { take(data); });
  }
  void on_end(std::string const& problem) override {
    if (!problem.empty()) error_ = "the server " + problem;
    over_ = true;
  }

  std::string const& words() const { return words_; }
  bool over() const { return over_; }
  /// What went wrong, as words; empty: nothing.
  std::string problem() const {
    json::error_code failed;
    json::value const parsed = json::parse(error_, failed);
    json::value const* const message = failed ? nullptr : parsed.find_pointer("/error/message", failed);
    return message && message->is_string() ? std::string(message->as_string()) : error_;
  }

 private:
  void take(std::string_view data) {
    json::error_code failed;
    json::value const event = json::parse(json::string_view(data.data(), data.size()), failed);
    if (failed || !event.is_object()) return;  // [DONE]
    if (event.as_object().contains("error")) error_ = std::string(data);
    for (char const* const thought : {"/choices/0/delta/reasoning_content", "/choices/0/delta/reasoning"})
      print(event.find_pointer(thought, failed), ChatTerminal::Tone::dim);
    words_ += print(event.find_pointer("/choices/0/delta/content", failed), ChatTerminal::Tone::plain);
  }
  std::string print(json::value const* words, ChatTerminal::Tone tone) {
    if (!words || !words->is_string() || words->as_string().empty()) return "";
    if (std::exchange(tone_, tone) != tone && printed_) terminal_.print("\n");
    printed_ = true;
    std::string const piece(words->as_string());
    terminal_.print(piece, tone);
    return piece;
  }

  ChatTerminal const& terminal_;
  EventReader events_;
  std::string words_, error_;
  int status_ = 0;
  bool over_ = false, printed_ = false;
  ChatTerminal::Tone tone_ = ChatTerminal::Tone::plain;
};

class Chat {
 public:
  Chat(ChatTerminal& terminal, ServerAccess const& access, HttpClient& client, ChatSession session)
      : terminal_(terminal), access_(access), client_(client), session_(std::move(session)) {}

  /// True unless an answer failed.
  bool run() {
    for (;;) {
      auto const words = next_message();
      if (!words) return !failed_;
      if (words->empty()) continue;
      if (words->starts_with('/') && !words->starts_with("//")) {
        auto const end = session_.command(*words);
        terminal_.print(end.said);
        if (end.next == ChatSession::CommandEnd::Next::leave) return !failed_;
        if (end.next == ChatSession::CommandEnd::Next::ask) answer();
        continue;
      }
      session_.ask(words->starts_with("//") ? words->substr(1) : *words);
      answer();
    }
  }

 private:
  /// One line, or several between lines of three quotes; nothing at the end.
  std::optional<std::string> next_message() {
    constexpr std::string_view quotes = "\"\"\"";
    auto line = terminal_.read_line("> ");
    if (line.kind == ChatTerminal::Line::Kind::interrupted) {
      terminal_.print("\n(Ctrl-D or /exit ends)\n");
      return "";
    }
    if (line.kind == ChatTerminal::Line::Kind::end) {
      if (terminal_.person_types()) terminal_.print("\n");
      return std::nullopt;
    }
    if (line.words != quotes) return line.words;
    std::string all;
    for (line = terminal_.read_line(". "); line.kind == ChatTerminal::Line::Kind::words && line.words != quotes;
         line = terminal_.read_line(". "))
      all += (all.empty() ? "" : "\n") + line.words;
    return line.kind == ChatTerminal::Line::Kind::interrupted ? "" : all;
  }

  void answer() {
    auto const printed = std::make_shared<PrintedAnswer>(terminal_);
    client_.send(
        {.method = "POST", .route = "/chat/completions", .body = session_.request_body(), .api_key = access_.api_key},
        printed);
    client_.run([this] { return terminal_.interrupted(); });
    terminal_.print("\n");
    bool const stopped = !printed->over();
    if (stopped) terminal_.print("(stopped)\n", ChatTerminal::Tone::dim);
    std::string const problem = stopped ? "" : printed->problem();
    if (!problem.empty()) log_warning(problem);
    failed_ = failed_ || !problem.empty();
    printed->words().empty() ? session_.take_question_back() : session_.answered(printed->words());
  }

  ChatTerminal& terminal_;
  ServerAccess const& access_;
  HttpClient& client_;
  ChatSession session_;
  bool failed_ = false;
};

bool names_a_server(po::variables_map const& values) {
  return !values["base-url"].as<std::string>().empty() || !values["endpoint-file"].as<std::string>().empty();
}

int chat(po::variables_map const& values, std::vector<std::string> const& server_options) {
  ChatTerminal terminal;
  std::string model = values["model"].as<std::string>();
  std::error_code failed;
  bool const own = !model.empty() && !names_a_server(values) && fs::exists(model, failed);
  if (!own && !server_options.empty())
    throw InputError("options behind '--' are those of a server for --model MODEL, and none is started here");
  std::optional<OwnServer> server;
  std::optional<ServerAccess> access;
  if (own) {
    if (terminal.person_types()) terminal.print("loading " + model + "\n", ChatTerminal::Tone::dim);
    access = server.emplace(model, server_options).access(terminal);
    if (!access) return exit_done;
    model.clear();
  } else {
    access = server_access(values);
  }
  HttpClient client(access->address, answer_patience_us);
  if (model.empty()) model = first_model(client, access->api_key);
  if (terminal.person_types())
    terminal.print(text("talking with ", model, own ? "" : text(" at ", access->shown), "; /help lists commands\n"),
                   ChatTerminal::Tone::dim);
  ChatSession session(model, settings_of(values), values["system"].as<std::string>());
  return Chat(terminal, *access, client, std::move(session)).run() ? exit_done : exit_failed;
}

}  // namespace

int chat_command(std::vector<std::string> const& all_words) {
  auto const dashes = std::find(all_words.begin(), all_words.end(), "--");
  std::vector<std::string> const words(all_words.begin(), dashes);
  std::vector<std::string> const behind(dashes == all_words.end() ? dashes : dashes + 1, all_words.end());
  po::options_description all("", help_width, help_text_width);
  po::options_description server("Server", help_width, help_text_width);
  add_access_options(server);
  all.add(chat_options()).add(server);
  po::variables_map const values = parse_words(words, all, "");
  if (values.count("help")) {
    std::cout << introduction << all << "\nExit codes: 0; 1 an answer failed; 2 the command line is wrong.\n";
    return exit_done;
  }
  return chat(values, behind);
}

}  // namespace windlass
