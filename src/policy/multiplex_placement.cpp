#include "src/policy/multiplex_placement.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <tuple>

namespace windlass {
namespace {

constexpr std::array mesh_sizes{1, 2, 4, 8};
constexpr double process_gb = 1.6, activation_gb = 6;
constexpr int overload_percent = 20;

struct Candidate {
  MultiplexModel const* model;
  std::size_t index;
  std::array<SoloEstimate, 4> solo;  ///< by mesh_sizes
  int least_mesh = 8;

  int sm_percent(int gpus) const {
    for (std::size_t i = 0; i < mesh_sizes.size(); ++i)
      if (mesh_sizes[i] == gpus) return solo[i].sm_percent;
    return 0;
  }
  double load() const { return model->rate * model->size_scale(); }
};

struct Mesh {
  int gpus;
  double free_gb;
  int free_sm = 100;
  std::vector<MeshMember> members;
  std::vector<PlacedModel> placed;
  double load = 0;   ///< amortised over its GPUs
  double value = 0;  ///< what its members bring so far
};

std::vector<std::vector<int>> node_splits(int gpus) {
  switch (gpus) {
    case 8:
      return {{8},          {4, 4},          {4, 2, 2},          {4, 2, 1, 1},          {4, 1, 1, 1, 1},
              {2, 2, 2, 2}, {2, 2, 2, 1, 1}, {2, 2, 1, 1, 1, 1}, {2, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}};
    case 4:
      return {{4}, {2, 2}, {2, 1, 1}, {1, 1, 1, 1}};
    case 2:
      return {{2}, {1, 1}};
    default:
      return {{1}};
  }
}

/// Calls `use` with the meshes of every multiset of splits.
template <class Use>
void for_clusters(MultiplexPlacementInput const& in, Use const& use) {
  auto const splits = node_splits(in.gpus_per_node);
  std::vector<std::size_t> choice(std::size_t(in.nodes), 0);
  for (;;) {
    std::vector<int> meshes;
    for (std::size_t const split : choice) meshes.insert(meshes.end(), splits[split].begin(), splits[split].end());
    use(meshes);
    std::size_t node = choice.size();
    while (node > 0 && choice[node - 1] + 1 == splits.size()) --node;
    if (node == 0) return;
    std::fill(choice.begin() + std::ptrdiff_t(node) - 1, choice.end(), choice[node - 1] + 1);
  }
}

/// By descending load; equal loads as the published planner's two sorts leave them.
std::vector<Candidate> candidates_of(MultiplexPlacementInput const& in) {
  double occupied_gb = 0;
  for (MultiplexModel const& model : in.models) occupied_gb += model.weights_gb() + activation_gb;
  double const cache_share = occupied_gb / (gpu_gb * in.nodes * in.gpus_per_node);
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < in.models.size(); ++i) {
    Candidate next{.model = &in.models[i], .index = i, .solo = {}};
    for (std::size_t size = 0; size < mesh_sizes.size(); ++size) {
      if (mesh_sizes[size] < next.model->least_gpus()) continue;
      next.solo[size] = estimate_solo(*next.model, mesh_sizes[size], cache_share);
      if (next.solo[size].sm_percent > 0) next.least_mesh = std::min(next.least_mesh, mesh_sizes[size]);
    }
    all.push_back(next);
  }
  auto const base = [](Candidate const& c) {
    return std::tuple(c.model->rate * c.model->least_gpus(), c.model->least_gpus());
  };
  auto const load = [](Candidate const& c) { return std::tuple(c.load(), c.model->size_scale()); };
  std::stable_sort(all.begin(), all.end(), [&](auto const& a, auto const& b) { return base(a) > base(b); });
  std::stable_sort(all.begin(), all.end(), [&](auto const& a, auto const& b) { return load(a) > load(b); });
  return all;
}

class Greedy {
 public:
  Greedy(MultiplexGain gain, std::vector<int> const& sizes) : gain_(gain), first_sizes_(sizes) {
    constexpr double usable = 0.9 * (1 - 0.4);  // of the memory; the rest is KV and reserve
    for (int const gpus : sizes)
      meshes_.push_back({.gpus = gpus, .free_gb = usable * gpu_gb * gpus, .members = {}, .placed = {}});
    value_of_place_.assign(sizes.size(), 0);
    sort();
  }

  bool place(Candidate const& candidate) {
    std::optional<std::size_t> best;
    double best_gain = -100;
    for (std::size_t i = 0; i < meshes_.size(); ++i) {
      Mesh const& mesh = meshes_[i];
      int const sm_percent = candidate.sm_percent(mesh.gpus);
      bool const fits = sm_percent > 0 && mesh.free_gb >= candidate.model->weights_gb() &&
                        mesh.free_sm + overload_percent >= sm_percent;
      if (!fits) continue;
      double const gained = value_with(mesh, candidate) - value_of(i);
      bool const smaller =
          best && mesh.gpus < (gain_ == MultiplexGain::published ? first_sizes_[*best] : meshes_[*best].gpus);
      if (!best || gained > best_gain || (gained == best_gain && smaller)) {
        best_gain = gained;
        best = i;
      }
    }
    if (!best) return false;
    add(*best, candidate, best_gain);
    return true;
  }

  std::vector<Mesh> take() { return std::move(meshes_); }

 private:
  double value_of(std::size_t i) const {
    return gain_ == MultiplexGain::published ? value_of_place_[i] : meshes_[i].value;
  }

  double value_with(Mesh const& mesh, Candidate const& candidate) const {
    auto members = mesh.members;
    members.push_back({.model = candidate.model, .sm_percent = candidate.sm_percent(mesh.gpus)});
    double const throughput = estimate_mesh(members, mesh.gpus);
    if (gain_ != MultiplexGain::weighted_sum) return throughput;
    return throughput * std::accumulate(members.begin(), members.end(), 0.0,
                                        [](double sum, MeshMember const& m) { return sum + m.model->rate; });
  }

  void add(std::size_t i, Candidate const& candidate, double gained) {
    Mesh& mesh = meshes_[i];
    int const sm_percent = candidate.sm_percent(mesh.gpus);
    mesh.members.push_back({.model = candidate.model, .sm_percent = sm_percent});
    mesh.placed.push_back({.model = candidate.index, .sm_percent = sm_percent});
    mesh.free_gb -= candidate.model->weights_gb() + process_gb + activation_gb;
    mesh.free_sm -= sm_percent;
    mesh.load += candidate.load() / mesh.gpus;
    mesh.value += gained;
    value_of_place_[i] += gained;
    sort();
  }

  /// The least loaded mesh first, then the one with more free memory.
  void sort() {
    std::stable_sort(meshes_.begin(), meshes_.end(), [](Mesh const& a, Mesh const& b) {
      return std::tuple(-a.load, a.free_gb) > std::tuple(-b.load, b.free_gb);
    });
  }

  MultiplexGain gain_;
  std::vector<int> first_sizes_;
  std::vector<Mesh> meshes_;
  std::vector<double> value_of_place_;
};

double objective(std::vector<Mesh> const& meshes) {
  double weighted = 0, rates = 0;
  for (Mesh const& mesh : meshes) {
    double rate = 0;
    for (MeshMember const& member : mesh.members) rate += member.model->rate;
    if (rate > 0) weighted += estimate_mesh(mesh.members, mesh.gpus) * rate;
    rates += rate;
  }
  return weighted / rates;
}

}  // namespace

MultiplexPlacementPlan plan_multiplex_placement(MultiplexPlacementInput const& in) {
  auto const candidates = candidates_of(in);
  int needed = 0;
  for (Candidate const& candidate : candidates) needed = std::max(needed, candidate.least_mesh);
  MultiplexPlacementPlan plan{.meshes = {}, .objective = -1, .stop = MultiplexPlacementStop::nothing_fits};
  for_clusters(in, [&](std::vector<int> const& sizes) {
    if (*std::max_element(sizes.begin(), sizes.end()) < needed || sizes.size() > candidates.size()) return;
    Greedy greedy(in.gain, sizes);
    for (Candidate const& candidate : candidates)
      if (!greedy.place(candidate)) return;
    auto const meshes = greedy.take();
    double const value = objective(meshes);
    if (value <= plan.objective) return;
    plan = {.meshes = {}, .objective = value, .stop = MultiplexPlacementStop::found};
    for (Mesh const& mesh : meshes) plan.meshes.push_back({.gpus = mesh.gpus, .models = mesh.placed});
  });
  std::stable_sort(plan.meshes.begin(), plan.meshes.end(),
                   [](PlacedMesh const& a, PlacedMesh const& b) { return a.gpus > b.gpus; });
  return plan;
}

}  // namespace windlass
