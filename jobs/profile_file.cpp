#include "jobs/profile_file.hpp"

#include "jobs/json_fields.hpp"

namespace windlass {
namespace {

constexpr char const* kind = "windlass-profile";
constexpr int version = 1;

std::vector<GridSample> read_samples(JsonFields const& fields, char const* list) {
  std::vector<GridSample> samples;
  for (JsonFields const& each : fields.objects(list)) {
    each.only({"count", "tokens", "ms"});
    samples.push_back({.count = each.number("count", positive),
                       .tokens = each.number("tokens", positive),
                       .ms = each.number("ms", positive)});
  }
  return samples;
}

boost::json::array as_json(std::vector<GridSample> const& samples) {
  boost::json::array all;
  for (GridSample const& each : samples)
    all.push_back(boost::json::object{{"count", each.count}, {"tokens", each.tokens}, {"ms", each.ms}});
  return all;
}

}  // namespace

MeasuredProfile read_profile(std::string const& path) {
  JsonFields const fields(read_json_with_comments(path));
  fields.only({"kind", "version", "model", "machine", "chunk_tokens", "max_sequences", "kv_tokens", "prefill",
               "ms_per_pair", "decode", "beside", "read_gb_per_s", "gflops"});
  if (fields.text("kind") != kind) fields.fail("kind", "is another kind of file", kind);
  fields.integer("version", {version, version});
  return {.model = fields.text("model"),
          .machine = fields.text("machine"),
          .chunk_tokens = fields.integer("chunk_tokens", count_limits),
          .max_sequences = fields.integer("max_sequences", count_limits),
          .kv_tokens = fields.integer("kv_tokens", count_limits),
          .prefill = read_samples(fields, "prefill"),
          .ms_per_pair = fields.number("ms_per_pair", not_negative),
          .decode = read_samples(fields, "decode"),
          .beside = read_samples(fields, "beside"),
          .read_gb_per_s = fields.number_or("read_gb_per_s", 0, not_negative),
          .gflops = fields.number_or("gflops", 0, not_negative)};
}

std::string profile_json(MeasuredProfile const& profile) {
  boost::json::object const object{{"kind", kind},
                                   {"version", version},
                                   {"model", profile.model},
                                   {"machine", profile.machine},
                                   {"chunk_tokens", profile.chunk_tokens},
                                   {"max_sequences", profile.max_sequences},
                                   {"kv_tokens", profile.kv_tokens},
                                   {"read_gb_per_s", profile.read_gb_per_s},
                                   {"gflops", profile.gflops},
                                   {"ms_per_pair", profile.ms_per_pair},
                                   {"prefill", as_json(profile.prefill)},
                                   {"decode", as_json(profile.decode)},
                                   {"beside", as_json(profile.beside)}};
  return boost::json::serialize(object) + "\n";
}

}  // namespace windlass
