// The house rules that a machine can check, on the source tree itself: layers, vendor headers, sizes, lost tests.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/source_scan.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;
using source_scan::functions;
using source_scan::Include;
using source_scan::includes;

constexpr int max_file_lines = 500, max_function_lines = 60;

/// Functions longer than the limit: path and lines. An entry may shrink or go, never grow or be added.
std::map<std::string, int> const long_functions = {};

/// Folder -> folders whose headers it may include besides its own: the table of layers (README).
std::map<std::string, std::set<std::string>> const layers = [] {
  std::map<std::string, std::set<std::string>> table = {
      {"src/core", {}},
      {"src/policy", {"src/core"}},
      {"src/sim", {"src/core", "src/policy"}},
      {"kernels", {"src/core"}},
      {"src/model", {"src/core", "kernels"}},
      {"src/kv", {"src/core", "kernels"}},
      {"src/grammar", {"src/core", "src/model"}},
      {"src/engine", {"src/core", "src/policy", "kernels", "src/model", "src/kv", "src/grammar"}},
      {"mpi", {"src/core", "kernels", "src/kv"}},
      {"src/store", {"src/core", "src/kv"}},
      {"src/api", {"src/core", "src/model"}},
      {"src/serve",
       {"src/core", "src/policy", "kernels", "src/model", "src/kv", "src/grammar", "src/engine", "mpi", "src/store",
        "src/api"}},
  };
  std::set<std::string> all;
  for (auto const& [folder, uses] : table) all.insert(folder);
  table["jobs"] = all;
  all.insert("jobs");
  table["tests"] = table["bench"] = all;
  return table;
}();

/// A vendor's headers (a pattern for the whole include) and the folders that may name them.
struct VendorRule {
  std::regex header;
  std::vector<std::string> folders;
};

std::vector<VendorRule> const& vendor_rules() {
  static std::vector<VendorRule> const rules = {
      {std::regex("mpi(-ext)?\\.h|hwloc.*|nccl.*|pmix.*"), {"mpi/"}},
      {std::regex("[a-z0-9]*intrin\\.h"), {"kernels/"}},
      {std::regex("Kokkos_.*"), {"kernels/kokkos/", "tests/kokkos"}},
      {std::regex("cuda.*|cublas.*|cooperative_groups.*"), {"kernels/cuda/"}},
      {std::regex("hdf5.*|H5.*"), {"src/store/"}},
      {std::regex("boost/(beast|asio).*"), {"src/api/"}},
      {std::regex("openssl/.*"), {"src/api/"}},
      {std::regex("boost/program_options.*"), {"jobs/"}},
  };
  return rules;
}

/// "src/kv" for "src/kv/pool.cpp", "kernels" for "kernels/x86/limits.hpp".
std::string layer_of(std::string const& path) {
  std::size_t slash = path.find('/');
  if (path.rfind("src/", 0) == 0) slash = path.find('/', slash + 1);
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

/// Why `path` may not have this include; empty if it may.
std::string include_problem(std::string const& path, Include const& include) {
  std::string const from = layer_of(path), where = path + ":" + std::to_string(include.line) + ": ";
  if (include.quoted) {
    std::string const to = layer_of(include.target);
    auto const uses = layers.find(from);
    if (uses == layers.end()) return where + from + " is not in the table of layers";
    if (to == from || uses->second.count(to)) return "";
    return where + from + " may not include \"" + include.target + "\"";
  }
  for (VendorRule const& rule : vendor_rules()) {
    if (!std::regex_match(include.target, rule.header)) continue;
    for (std::string const& folder : rule.folders)
      if (path.rfind(folder, 0) == 0) return "";
    return where + "<" + include.target + "> belongs into " + rule.folders.front();
  }
  bool const standard_only = from == "src/core" || from == "src/policy" || from == "src/sim";
  if (standard_only && include.target.rfind("boost/", 0) == 0)
    return where + from + " uses the standard library alone, not <" + include.target + ">";
  return "";
}

/// A word that promises work instead of doing it; empty if there is none. The words are spelled so as not to find
/// themselves.
std::string postponed_work(std::string const& source) {
  static std::regex const words(
      "\\b(FIX"
      "ME|XX"
      "X|HA"
      "CK)\\b|\\bTO"
      "DO(?!\\(#[0-9]+\\))");
  std::smatch found;
  return std::regex_search(source, found, words) ? found.str() : "";
}

std::string read(fs::path const& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Paths below the source root of all files of our own with one of these endings, sorted.
std::vector<std::string> source_files(std::set<std::string> const& endings) {
  fs::path const root = WINDLASS_SOURCE_DIR;
  std::vector<std::string> found;
  for (char const* folder : {"src", "kernels", "mpi", "jobs", "tests", "bench", "slurm"}) {
    if (!fs::exists(root / folder)) continue;
    for (auto const& entry : fs::recursive_directory_iterator(root / folder))
      if (entry.is_regular_file() && endings.count(entry.path().extension().string()))
        found.push_back(entry.path().lexically_relative(root).generic_string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string read_source(std::string const& path) { return read(fs::path(WINDLASS_SOURCE_DIR) / path); }

TEST(Tidy, EveryIncludeFollowsTheTableOfLayers) {
  std::vector<std::string> const files = source_files({".cpp", ".hpp", ".cu"});
  ASSERT_GT(files.size(), 30u) << "found too few sources below " << WINDLASS_SOURCE_DIR;
  for (std::string const& path : files)
    for (Include const& include : includes(read_source(path))) EXPECT_EQ(include_problem(path, include), "");
}

TEST(Tidy, APlantedForbiddenIncludeIsFound) {
  EXPECT_EQ(include_problem("src/policy/admission.cpp", {"src/kv/pool.hpp", true, 3}),
            "src/policy/admission.cpp:3: src/policy may not include \"src/kv/pool.hpp\"");
  EXPECT_EQ(include_problem("src/engine/engine.cpp", {"mpi.h", false, 9}),
            "src/engine/engine.cpp:9: <mpi.h> belongs into mpi/");
  EXPECT_NE(include_problem("src/model/gguf.cpp", {"immintrin.h", false, 1}), "");
  EXPECT_NE(include_problem("kernels/x86/matmul.cpp", {"Kokkos_Core.hpp", false, 1}), "");
  EXPECT_NE(include_problem("src/core/log.cpp", {"boost/json.hpp", false, 1}), "");
  EXPECT_NE(include_problem("jobs/main.cpp", {"tests/source_scan.hpp", true, 1}), "");
}

TEST(Tidy, AllowedIncludesPass) {
  EXPECT_EQ(include_problem("src/engine/engine.cpp", {"src/policy/admission.hpp", true, 1}), "");
  EXPECT_EQ(include_problem("kernels/x86/matmul.cpp", {"immintrin.h", false, 1}), "");
  EXPECT_EQ(include_problem("mpi/topology.cpp", {"hwloc.h", false, 1}), "");
  EXPECT_EQ(include_problem("jobs/main.cpp", {"boost/program_options.hpp", false, 1}), "");
}

TEST(Tidy, EveryTestFileIsRegistered) {
  std::string const cmake = read_source("tests/CMakeLists.txt");
  for (std::string const& path : source_files({".cpp"})) {
    std::string const file = fs::path(path).filename().string();
    if (path.rfind("tests/", 0) != 0 || !file.ends_with("_test.cpp")) continue;
    std::string const name = file.substr(0, file.size() - std::string("_test.cpp").size());
    bool const listed =
        std::regex_search(cmake, std::regex("add_[a-z_]+\\(" + name + "\\s")) || cmake.find(file) != std::string::npos;
    EXPECT_TRUE(listed) << path << " is in no add_unit_test of tests/CMakeLists.txt: it never runs";
  }
}

TEST(Tidy, SourceListsAreExplicit) {
  std::regex const glob("file\\s*\\(\\s*GLOB", std::regex::icase);
  for (std::string const& path : source_files({".txt", ".cmake"}))
    EXPECT_FALSE(std::regex_search(read_source(path), glob)) << path << " finds sources by pattern; list them";
}

TEST(Tidy, FilesStayShort) {
  for (std::string const& path : source_files({".cpp", ".hpp", ".cu", ".py", ".sh", ".txt", ".md"})) {
    std::string const source = read_source(path);
    EXPECT_LE(std::count(source.begin(), source.end(), '\n'), max_file_lines) << path << " is too long: split it";
  }
}

TEST(Tidy, FunctionsStayShort) {
  for (std::string const& path : source_files({".cpp", ".hpp"})) {
    auto const exception = long_functions.find(path);
    int const limit = exception == long_functions.end() ? max_function_lines : exception->second;
    int longest = 0;
    for (auto const& function : functions(read_source(path))) {
      longest = std::max(longest, function.lines());
      EXPECT_LE(function.lines(), limit) << path << ":" << function.first_line << ": a function is too long";
    }
    if (exception != long_functions.end()) {
      EXPECT_EQ(longest, limit) << path << ": lower or drop its entry in long_functions";
    }
  }
}

TEST(Tidy, MostFunctionsAreTiny) {
  std::vector<int> lines;
  for (std::string const& path : source_files({".cpp", ".hpp"}))
    for (auto const& function : functions(read_source(path))) lines.push_back(function.lines());
  ASSERT_GT(lines.size(), 50u);

  std::nth_element(lines.begin(), lines.begin() + std::ptrdiff_t(lines.size() / 2), lines.end());

  EXPECT_LE(lines[lines.size() / 2], 10);
}

TEST(Tidy, NoWorkIsPromisedInComments) {
  for (std::string const& path : source_files({".cpp", ".hpp", ".cu", ".py", ".sh", ".txt"}))
    EXPECT_EQ(postponed_work(read_source(path)), "") << path;
  EXPECT_EQ(postponed_work("// XX"
                           "X later"),
            "XX"
            "X");
  EXPECT_EQ(postponed_work("// TO"
                           "DO(#12): measured in issue 12"),
            "");
}

TEST(SourceScan, FindsQuotedAndAngleIncludes) {
  auto const found = includes("#include <mpi.h>\n// none\n#  include \"src/core/ids.hpp\"  // ids\nint include;\n");

  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].target, "mpi.h");
  EXPECT_FALSE(found[0].quoted);
  EXPECT_EQ(found[1].target, "src/core/ids.hpp");
  EXPECT_TRUE(found[1].quoted);
  EXPECT_EQ(found[1].line, 3);
}

TEST(SourceScan, MeasuresFunctionsNotScopesOrTables) {
  std::string const source =
      "namespace a {\nstruct B {\n  int get() const {\n    return 1;\n  }\n};\n"  // get: lines 3 to 5
      "int const table[] = {f(1),\n  2};\n"
      "template <class T>\nvoid long_one(T t) {\n  if (t) {\n    g(\"}\");  // }\n  }\n}\n}\n";  // lines 9 to 14

  auto const found = functions(source);

  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].first_line, 3);
  EXPECT_EQ(found[0].lines(), 3);
  EXPECT_EQ(found[1].first_line, 9);
  EXPECT_EQ(found[1].lines(), 6);
}

TEST(SourceScan, BlanksLiteralsAndCommentsButKeepsLines) {
  std::string const raw = "R\"x({)x\"";
  EXPECT_EQ(source_scan::without_comments_and_literals("a /* {\n} */ b"), "a     \n     b");
  EXPECT_EQ(source_scan::without_comments_and_literals("f('{', \"\\\"{\", 1'000);"), "f(   ,      , 1'000);");
  EXPECT_EQ(source_scan::without_comments_and_literals(raw + ";"), std::string(raw.size(), ' ') + ";");
}

}  // namespace
}  // namespace windlass
